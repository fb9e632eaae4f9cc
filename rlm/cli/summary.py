"""What a run took, for `--json`; `rlm.render.outline.summary` says the same to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.trajectory import RunNode


def figures(root: RunNode) -> dict[str, Any]:
    """Return a run's figures, children and leaf calls included; an unfinished one's so far.

    Args:
        root: The run.

    Returns:
        `status` (`rlm.events.RunStatus`), `model`, `turns`, `sub_calls`, `children`, `time`
        (seconds) and `usage` (`UsageSummary.to_dict()`).
    """
    runs = list(root.walk())
    finished = root.finished
    return {
        "status": "error" if finished is None else finished.status,
        "model": root.started.model,
        "turns": sum(len(run.turns) for run in runs),
        "sub_calls": sum(len(run.sub_calls) for run in runs),
        "children": len(runs) - 1,
        "time": None if finished is None else finished.duration,
        "usage": root.usage.to_dict(),
    }
