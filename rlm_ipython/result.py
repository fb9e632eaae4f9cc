"""What `-o` binds: the result of a run, also of one that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlm.core.types import RLMChatCompletion
from rlm.usage import UsageSummary

if TYPE_CHECKING:
    from IPython.core.error import UsageError

    from rlm.errors import RLMError
    from rlm.trajectory import Trajectory


def result_of(outcome: RLMChatCompletion | RLMError | UsageError, prompt: Any) -> RLMChatCompletion:
    """Return a run's result: of one that failed, its partial answer, record and `error`.

    Args:
        outcome: What the run came to, or what kept it from beginning.
        prompt: Its context.
    """
    if isinstance(outcome, RLMChatCompletion):
        return outcome
    from rlm.core.replay_port import NOT_GIVEN

    trajectory: Trajectory | None = getattr(outcome, "trajectory", None)
    root = trajectory.root if trajectory is not None else None
    finished = root.finished if root is not None else None
    return RLMChatCompletion(
        root_model=root.started.model if root is not None else "",
        prompt=None if prompt is NOT_GIVEN else prompt,
        response=getattr(outcome, "partial_answer", None) or "",
        usage_summary=root.usage if root is not None else UsageSummary(),
        execution_time=finished.duration if finished is not None else 0.0,
        error=f"{type(outcome).__name__}: {outcome}",
        trajectory=trajectory,
    )
