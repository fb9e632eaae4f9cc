"""What is going on right now, in a few lines: the moving part of the console."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rlm.render.outline import (
    Line,
    amounts,
    cost_text,
    dollars,
    first_words,
    group_text,
    grouped,
    seconds,
)
from rlm.render.safe_text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlm.trajectory import CellNode, RunNode

CHILDREN_SHOWN = 6
"""How many running children get a line each."""


def running(run: RunNode, *, now: float | None = None) -> Iterator[Line]:
    """Yield what a run is waiting for, and how far it is (`now`: seconds since the epoch)."""
    now = time.time() if now is None else now
    yield Line(0, "turn", _state(run, now))
    for cell in _running_cells(run):
        yield from _calls(cell, now)
    yield Line(0, "run", _totals(run, now))


def _state(run: RunNode, now: float) -> str:
    """Return in one line what a run is doing."""
    if not run.turns:
        return "starting the kernel"
    turn = run.turns[-1]
    number = f"turn {turn.started.number}/{turn.started.of}"
    if turn.finished is not None:
        return number
    reply = turn.reply
    if reply is None:
        waited = seconds(now - turn.started.time)
        return f"{number} · asking {one_line(run.started.model, 40)} · {waited}"
    cell = turn.cells[-1] if turn.cells else None
    if cell is None or cell.finished is not None:
        return f"{number} · {first_words(reply.text)}"
    code = next((line for line in cell.started.code.split("\n") if line.strip()), "")
    return f"{number} · running {seconds(now - cell.started.time)} · {one_line(code, 60)}"


def _running_cells(run: RunNode) -> list[CellNode]:
    return [cell for cell in (run.turns[-1].cells if run.turns else []) if cell.pending]


def _calls(cell: CellNode, now: float) -> Iterator[Line]:
    for group in grouped(list(cell.sub_calls)):  # A copy: the run goes on in another thread.
        yield Line(1, "calls", group_text(group))
        alive = [call.child for call in group if call.child is not None and call.child.pending]
        for child in alive[:CHILDREN_SHOWN]:
            yield Line(2, "output", _state(child, now))
        if alive[CHILDREN_SHOWN:]:
            yield Line(2, "output", f"… {len(alive) - CHILDREN_SHOWN:,} more children")


def _totals(run: RunNode, now: float) -> str:
    """Return what the tree took so far, and its limits."""
    limits = run.started.config.get("limits")
    limits = limits if isinstance(limits, dict) else {}
    usage = run.usage
    budget, tokens, timeout = (
        limits.get(name) for name in ("max_budget", "max_tokens", "max_timeout")
    )
    elapsed = seconds(now - run.started.time)
    cost = cost_text(usage.total_cost, partial=usage.cost_is_partial)
    parts = [
        f"{elapsed} of {seconds(timeout)}" if isinstance(timeout, int | float) else elapsed,
        f"{cost or '$?'} of {dollars(budget)}" if isinstance(budget, int | float) else cost,
        amounts(usage.total_input_tokens, usage.total_output_tokens, None),
        f"at most {tokens:,} tokens" if isinstance(tokens, int) else "",
    ]
    return " · ".join(filter(None, parts))
