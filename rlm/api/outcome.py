"""What a run came to, brought to where its user waits for it."""

from __future__ import annotations

import asyncio
import logging
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, ParamSpec

from rlm.core.loop import uncancellable
from rlm.errors import CancellationError, ReplayWarning, RLMError
from rlm.events import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeAlias

    from rlm.api.readers import ReaderSet
    from rlm.core.recorder import Recorder
    from rlm.core.types import RLMChatCompletion
    from rlm.trajectory import Trajectory

    Outcome: TypeAlias = RLMChatCompletion | RLMError
    AtEnd: TypeAlias = Callable[[Outcome], Coroutine[Any, Any, object]]

P = ParamSpec("P")

_log = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
"""How long a result is held back until the user's readers have been told of it."""


async def ended(
    at_end: AtEnd | None,
    run: Callable[P, Coroutine[Any, Any, Outcome]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Outcome:
    """Run, and have what is to be done at the end done before anybody sees the run as over.

    Args:
        at_end: Is given what it came to; what goes wrong in it costs nobody the answer.
        run: The run.
        args: Its arguments.
        kwargs: Same.
    """
    outcome = await run(*args, **kwargs)
    if at_end is not None:
        try:
            # What is over is over: a cancellation that comes now changes nothing.
            with suppress(asyncio.CancelledError):
                await uncancellable(at_end(outcome))
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is paid for
            _log.warning(
                "At the end of a run: %s: %s.", type(error).__name__, error, exc_info=error
            )
    return outcome


def settled(outcome: RLMChatCompletion | RLMError, audience: ReaderSet) -> RLMChatCompletion:
    """Raise an error where its user waits; give a result the log that the user asked for.

    Args:
        outcome: What `complete` returned.
        audience: Whom the run told.

    Raises:
        RLMError: The outcome is one.
    """
    _warn_of_other_output(outcome.trajectory)
    if isinstance(outcome, RLMError):
        raise outcome
    logger = next((r for r in audience.readers if hasattr(r, "get_trajectory")), None)
    root = outcome.trajectory.root if outcome.trajectory else None
    if logger is not None and root is not None:
        from rlm.formats.jsonl.write import run_record

        outcome.metadata = run_record(root, prompts=getattr(logger, "prompts", "full"))
    return outcome


def cancelled(recorder: Recorder) -> CancellationError:
    """Return the error of a run that was cancelled and had nothing to say about it.

    Args:
        recorder: The run's.
    """
    root = recorder.trajectory.root
    error = CancellationError(root.answer if root else None)
    error.trajectory = recorder.trajectory
    return error


def _warn_of_other_output(trajectory: Trajectory | None) -> None:
    """Say that cells of a replayed run gave other output than recorded: few read every note."""
    events = () if trajectory is None else trajectory.events
    found = [e.text for e in events if isinstance(e, Note) and e.data.get("replay") == "output"]
    if found:
        more = f" (and {len(found) - 1} more cells)" if len(found) > 1 else ""
        # Past ourselves and `settled`, to the line that asked for the completion or awaits it.
        warnings.warn(f"Replay: {found[0]}{more}", ReplayWarning, stacklevel=4)
