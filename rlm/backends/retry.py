"""Limits how many LM calls of a tree run at once, and retries failed ones."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from rlm.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from rlm.backends.base import LMClient, LMReply
    from rlm.events import Message

    RetryCallback = Callable[[str, dict[str, Any]], None]

WIDTH = 64
"""Calls at once."""

ATTEMPTS = 5
"""How often a call is made at most, unless the client has `max_retries`."""

FIRST_DELAY = 0.5
"""Seconds before the second attempt; each further delay is twice the one before."""

LONGEST_DELAY = 30.0
"""Seconds that the delay grows to."""

LONGEST_WAIT = 120.0
"""Seconds that a provider may ask to wait (`Retry-After`); more is an error."""


class RateLimiter:
    """Limits concurrent calls, and retries those that may succeed later.

    A 429 halves the width. Each full width of calls that succeed adds one slot, up to the first
    width (additive increase, multiplicative decrease). A limiter belongs to one event loop.
    """

    def __init__(self, width: int = WIDTH, *, first_delay: float = FIRST_DELAY) -> None:
        self._limit = float(max(1, width))
        self._widest = self._limit
        self._first_delay = first_delay
        self._running = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._halved_at = -1.0
        # When each client may ask again: a provider's `Retry-After` holds up no other provider.
        self._not_before: WeakKeyDictionary[LMClient, float] = WeakKeyDictionary()

    @property
    def width(self) -> int:
        """How many calls may run at once now."""
        return max(1, int(self._limit))

    @property
    def running(self) -> int:
        """How many calls run now."""
        return self._running

    async def ask(
        self,
        client: LMClient,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        stream: bool = False,
        on_retry: RetryCallback | None = None,
    ) -> LMReply:
        """Wait for a free slot and ask a client; retry what may succeed later.

        Before each wait `on_retry` gets a sentence, and a dict with `attempt`, `attempts`, `wait`
        (seconds), `status`, `backend` and `model`.
        """
        retries = getattr(client, "max_retries", None)
        attempts = ATTEMPTS if retries is None else retries + 1
        attempt = 1
        while True:
            failure: BackendError
            async with self.slot(client):
                began = time.monotonic()
                try:
                    reply = await client.complete(messages, model=model, stream=stream)
                except BackendError as error:
                    failure = error
                else:
                    self._widen()
                    return reply
            wait = self._wait(client, failure, attempt, began)
            if wait is None or attempt >= attempts:
                if attempt > 1:
                    failure.add_note(f"Asked {attempt} times.")
                raise failure
            attempt += 1
            if on_retry is not None:
                on_retry(
                    f"{failure} Asking again in {wait:.1f} s (attempt {attempt} of {attempts}).",
                    {
                        "attempt": attempt,
                        "attempts": attempts,
                        "wait": round(wait, 3),
                        "status": failure.status,
                        "backend": failure.backend,
                        "model": failure.model,
                    },
                )
            await asyncio.sleep(wait)

    def _wait(
        self, client: LMClient, failure: BackendError, attempt: int, began: float
    ) -> float | None:
        """Return the seconds to wait before the next attempt; None for no further attempt."""
        if failure.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._halve(began)
        if not failure.retryable:
            return None
        asked = failure.retry_after
        if asked is not None and asked > LONGEST_WAIT:
            failure.add_note(
                f"The provider asks to wait {asked:,.0f} s; "
                f"rlm waits {LONGEST_WAIT:,.0f} s at most."
            )
            return None
        delay = min(self._first_delay * 2.0 ** (attempt - 1), LONGEST_DELAY)
        delay *= random.uniform(0.5, 1.0)  # noqa: S311 - this only spreads the retries
        if asked is None:
            return delay
        until = time.monotonic() + asked
        self._not_before[client] = max(until, self._not_before.get(client, 0.0))
        # Spreads the calls that wait for the same moment.
        return asked + min(delay, self._first_delay) * bool(asked)

    def _halve(self, began: float) -> None:
        # Calls that ran at the same time fail together: halve once for all of them.
        if began > self._halved_at:
            self._limit = max(1.0, self._limit / 2)
            self._halved_at = time.monotonic()

    def _widen(self) -> None:
        if self._limit < self._widest:
            self._limit = min(self._widest, self._limit + 1 / self._limit)

    @contextlib.asynccontextmanager
    async def slot(self, client: LMClient) -> AsyncIterator[None]:
        """Wait for a free slot, first come first served, and hold it."""
        while (rest := self._not_before.get(client, 0.0) - time.monotonic()) > 0:  # noqa: ASYNC110 - waits for a time, which another 429 may postpone
            await asyncio.sleep(rest)
        if self._running >= self.width or self._queue:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._running -= 1  # the slot was given in the moment of the cancellation
                    self._give_slots()
                with contextlib.suppress(ValueError):
                    self._queue.remove(turn)
                raise
        else:
            self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._give_slots()

    def _give_slots(self) -> None:
        """Give free slots to the calls that have waited longest; a given slot counts as taken."""
        while self._queue and self._running < self.width:
            turn = self._queue.popleft()
            if not turn.done():
                self._running += 1
                turn.set_result(None)
