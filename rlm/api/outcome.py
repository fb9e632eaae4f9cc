"""Gives a run's outcome to the user: returned, raised, or event by event."""

from __future__ import annotations

import asyncio
import logging
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

from rlm.core.loop import uncancellable
from rlm.errors import CancellationError, ReplayWarning, RLMError
from rlm.events import Note

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from typing import Any, TypeAlias

    from rlm.api.readers import ReaderSet
    from rlm.core.loop import Job
    from rlm.core.recorder import Recorder
    from rlm.core.types import RLMChatCompletion
    from rlm.events import Event
    from rlm.trajectory import Trajectory

    Outcome: TypeAlias = RLMChatCompletion | RLMError
    AtEnd: TypeAlias = Callable[[Outcome], Coroutine[Any, Any, object]]

_log = logging.getLogger(__name__)


async def run_at_end(
    run: Callable[[], Coroutine[Any, Any, Outcome]], at_end: AtEnd | None
) -> Outcome:
    """Await a run, then `at_end` with its outcome; only then is the run done.

    A failure of `at_end` is only logged: it must not cost the answer. The run's coroutine is made
    here: a job that is cancelled before it starts would leave it behind, never awaited.
    """
    outcome = await run()
    if at_end is not None:
        try:
            # The run is over: a cancellation that comes now changes nothing.
            with suppress(asyncio.CancelledError):
                await uncancellable(at_end(outcome))
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer counts more
            _log.warning(
                "At the end of a run: %s: %s.", type(error).__name__, error, exc_info=error
            )
    return outcome


def raise_or_return(outcome: Outcome, readers: ReaderSet) -> RLMChatCompletion:
    """Raise the outcome if it is an error; else return it, with the log of an `RLMLogger`."""
    _warn_of_other_output(outcome.trajectory)
    if isinstance(outcome, RLMError):
        raise outcome
    logger = next((r for r in readers.readers if hasattr(r, "get_trajectory")), None)
    root = outcome.trajectory.root if outcome.trajectory else None
    if logger is not None and root is not None:
        from rlm.formats.jsonl.write import run_record

        outcome.metadata = run_record(root, prompts=getattr(logger, "prompts", "full"))
    return outcome


async def stream_events(
    prepare: Callable[[Callable[[Event], object]], Job[Outcome]], readers: ReaderSet
) -> AsyncGenerator[Event, None]:
    """Yield a run's events as they happen, then raise its error; leaving the loop cancels the run.

    `prepare` makes the run's job, whose events go to the function that `prepare` gets.
    """
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event | None] = asyncio.Queue()

    def on_event(event: Event) -> None:
        with suppress(RuntimeError):  # The listener's loop is closed: nobody listens.
            loop.call_soon_threadsafe(events.put_nowait, event)

    waiter = asyncio.ensure_future(prepare(on_event).wait_async())
    waiter.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        raise_or_return(waiter.result(), readers)
    finally:
        if not waiter.done():
            waiter.cancel()
            await asyncio.wait({waiter})


def cancelled(recorder: Recorder) -> CancellationError:
    """Return the error of a run that was cancelled before it could return one."""
    root = recorder.trajectory.root
    error = CancellationError(root.answer if root else None)
    error.trajectory = recorder.trajectory
    return error


def _warn_of_other_output(trajectory: Trajectory | None) -> None:
    """Warn if cells of a replayed run gave other output than recorded: few people read notes."""
    events = () if trajectory is None else trajectory.events
    found = [e.text for e in events if isinstance(e, Note) and e.data.get("replay") == "output"]
    if found:
        more = f" (and {len(found) - 1} more cells)" if len(found) > 1 else ""
        # Past this function and `raise_or_return`, to the caller of the completion.
        warnings.warn(f"Replay: {found[0]}{more}", ReplayWarning, stacklevel=4)
