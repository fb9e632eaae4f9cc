"""Watching a run from the caller's event loop: its events, one after the other."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from rlm.api.outcome import settled

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from rlm.api.readers import ReaderSet
    from rlm.core.loop import Job
    from rlm.core.types import RLMChatCompletion
    from rlm.errors import RLMError
    from rlm.events import Event


async def watched(
    begin: Callable[[Callable[[Event], object]], Job[RLMChatCompletion | RLMError]],
    audience: ReaderSet,
) -> AsyncGenerator[Event, None]:
    """Yield the events of a run as they happen; who stops to listen cancels it.

    Args:
        begin: Prepares the run, and has its events told to the function that it is given.
        audience: Who is told besides.

    Raises:
        RLMError: The run ended in one; after the last event.
    """
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event | None] = asyncio.Queue()

    def push(event: Event) -> None:
        with suppress(RuntimeError):  # The listener's loop is closed: nobody listens.
            loop.call_soon_threadsafe(events.put_nowait, event)

    waiter = asyncio.ensure_future(begin(push).wait_async())
    waiter.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        settled(waiter.result(), audience)
    finally:
        if not waiter.done():
            waiter.cancel()
            await asyncio.wait({waiter})
