"""What a run came to, brought to where its user waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlm.errors import CancellationError, RLMError

if TYPE_CHECKING:
    from rlm.core.readers import Audience
    from rlm.core.recorder import Recorder
    from rlm.core.types import RLMChatCompletion

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
