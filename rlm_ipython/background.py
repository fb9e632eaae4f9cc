"""Looking after a run that `--bg` started, up to its end and before anybody is told of it."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.api.run_handle import RunHandle
    from rlm.core.types import RLMChatCompletion
    from rlm.errors import RLMError
    from rlm_ipython.views import View

_TICK = 0.25
_log = logging.getLogger("rlm")


class Background:
    """A thread that shows one run and sees to its end.

    The run is not `done` before that: who waits for it finds its file written and its error
    ready to be shown.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._outcome: RLMChatCompletion | RLMError | None = None
        self._seen_to: Future[None] = Future()

    async def at_end(self, outcome: RLMChatCompletion | RLMError) -> None:
        """Wait until the thread has seen to the end; for `RLM.start`.

        Args:
            outcome: What the run came to.
        """
        self._outcome = outcome
        self._over.set()
        await asyncio.wrap_future(self._seen_to)

    def look_after(
        self,
        handle: RunHandle,
        view: View,
        *,
        finish: Callable[[RLMChatCompletion | RLMError], None],
        free: Callable[[], None],
    ) -> None:
        """Start the thread.

        Args:
            handle: The run.
            view: What it is shown in.
            finish: Called with what the run came to, before it is done.
            free: Called when it is done.
        """
        # Cancelled before it began, a run comes to its end without us.
        handle.add_done_callback(lambda _: self._over.set())
        try:
            threading.Thread(
                target=self._work,
                args=(handle, view, finish, free),
                name=f"rlm-bg-{handle.id}",
                daemon=True,
            ).start()
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        """Have the run wait no longer."""
        with suppress(InvalidStateError):  # Interrupted when the thread had begun already.
            self._seen_to.set_result(None)

    def _work(
        self,
        handle: RunHandle,
        view: View,
        finish: Callable[[RLMChatCompletion | RLMError], None],
        free: Callable[[], None],
    ) -> None:
        try:
            shown = True
            while not self._over.wait(_TICK):
                shown = shown and _shows(handle, view.tick)
            outcome = self._outcome or handle.error
            if outcome is not None:
                finish(outcome)
            _shows(handle, view.end)
        finally:
            self._let_go()
            handle.wait()
            free()


def _shows(handle: RunHandle, step: Callable[[], None]) -> bool:
    """Take a step of the view; whether it could: the run goes on either way."""
    try:
        step()
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is paid for
        _log.warning(
            "Run %s goes on, but could not be shown: %s: %s. %%rlm show shows it.",
            handle.id,
            type(error).__name__,
            error,
            exc_info=error,
        )
        return False
    return True
