"""A run in a notebook once it is over: one line that opens to script-free HTML, which is saved."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlm.trajectory import RunNode, Trajectory


def still(trajectory: Trajectory) -> dict[str, str]:
    """Return a run as a mime bundle that needs no widget: one line that opens to all of it.

    Args:
        trajectory: Finished or not.
    """
    from rlm.export.html import fragment  # noqa: PLC0415 - only when there is an end

    if trajectory.root is None:
        return {"text/plain": "no run began"}
    line = _steps(trajectory.root)
    folded = f"<details><summary>{html.escape(line)}</summary>{fragment(trajectory)}</details>"
    return {"text/html": folded, "text/plain": line}


def _steps(root: RunNode) -> str:
    """Return how a run ended and in how many steps; what they took stands below the answer."""
    runs = list(root.walk())
    counts = (
        (sum(len(run.turns) for run in runs), "turn", "turns"),
        (sum(len(run.sub_calls) for run in runs), "sub-call", "sub-calls"),
        (len(runs) - 1, "child", "children"),
    )
    status = "running" if root.finished is None else root.finished.status
    steps = [f"{n:,} {one if n == 1 else many}" for n, one, many in counts if n]
    return " · ".join([f"run: {status}", *steps])
