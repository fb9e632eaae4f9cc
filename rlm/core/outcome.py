"""What a run came to, brought to where its user waits for it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from rlm.errors import CancellationError, ReplayWarning, RLMError
from rlm.events import Note

if TYPE_CHECKING:
    from rlm.core.readers import Audience
    from rlm.core.recorder import Recorder
    from rlm.core.types import RLMChatCompletion
    from rlm.trajectory import Trajectory

FLUSH_SECONDS = 2.0
"""How long a result is held back until the user's readers have been told of it."""


def settled(outcome: RLMChatCompletion | RLMError, audience: Audience) -> RLMChatCompletion:
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
        from rlm.logger.iterations import run_record  # noqa: PLC0415 - only for a logger

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
