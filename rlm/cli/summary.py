"""What a run took, as figures and as one line for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.core.types import UsageSummary
    from rlm.trajectory import Trajectory

_EMPTY: dict[str, Any] = {"model_usage_summaries": {}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run took.

    Attributes:
        status: How it ended (`rlm.events.RunStatus`).
        model: The root model.
        turns: Of the root run.
        sub_calls: Plain LM calls made by the cells of the whole tree.
        children: Runs started by `rlm_query`.
        time: Seconds.
        usage: `UsageSummary.to_dict()` of the whole tree.
    """

    status: str
    model: str
    turns: int
    sub_calls: int
    children: int
    time: float
    usage: dict[str, Any]

    @classmethod
    def of(cls, trajectory: Trajectory | None) -> Summary:
        """Count what a trajectory holds; an unfinished one as far as it got."""
        root = None if trajectory is None else trajectory.root
        if root is None:
            return cls(
                status="error", model="", turns=0, sub_calls=0, children=0, time=0.0, usage=_EMPTY
            )
        runs = list(root.walk())
        calls = [call for run in runs for call in run.sub_calls]
        return cls(
            status="error" if root.finished is None else root.finished.status,
            model=root.started.model,
            turns=len(root.turns),
            sub_calls=sum(call.started.kind != "tool" and call.child is None for call in calls),
            children=len(runs) - 1,
            time=0.0 if root.finished is None else root.finished.duration,
            usage=root.usage.to_dict(),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for `--json`."""
        return asdict(self)


def told(summary: Summary, usage: UsageSummary) -> str:
    """Return the figures as one line.

    Args:
        summary: The run's.
        usage: The run's, for the sums over its models.
    """
    parts = [
        _count(summary.turns, "turn"),
        _count(summary.sub_calls, "sub-call"),
        *([_count(summary.children, "child", "children")] if summary.children else []),
        f"{usage.total_input_tokens:,} tokens in, {usage.total_output_tokens:,} out",
        *([] if usage.total_cost is None else [f"${usage.total_cost:.4f}"]),
        f"{summary.time:.1f} s",
    ]
    return " · ".join(parts)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
