"""How two runs differ, for people: figures side by side, and lines removed and added."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from rlm.render.cell_text import streams, text_of
from rlm.render.outline import usage_text
from rlm.render.safe_text import one_line, safe_text
from rlm.trajectory.codec import TrajectoryError
from rlm_kernel.recorded_calls import masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlm.trajectory.fold import Trajectory
    from rlm.trajectory.nodes import CellNode, RunNode, SubCallNode

LINES_SHOWN = 40
"""How many lines of one place's difference are shown."""

_COMPARED = 2_000
_LONGEST = 300


def readable_difference(first: Trajectory, second: Trajectory) -> list[str]:
    """Return how two runs differ, as lines of text; none when they did the same.

    Lines that only the second run has begin with ``+``.

    Raises:
        TrajectoryError: Their children are nested too deeply to be compared.
    """
    try:
        return _difference(first, second)
    except RecursionError:
        raise TrajectoryError("The runs' children are nested too deeply to be compared.") from None


def _difference(first: Trajectory, second: Trajectory) -> list[str]:
    comparison = first.same_as(second)
    if comparison:
        return []
    lines = list(_figures(first.root, second.root))
    ones, others = dict(_places(first.root)), dict(_places(second.root))
    shown = False
    for place in dict.fromkeys([*ones, *others]):
        found = list(_changed_lines(ones.get(place), others.get(place)))
        if found:
            shown = True
            lines += ["", place, *found]
    if not shown:
        # Only less important things differ.
        lines += ["", *(one_line(each, 200) for each in comparison.differences)]
    return lines if lines[0] else lines[1:]


def _figures(first: RunNode | None, second: RunNode | None) -> Iterator[str]:
    """Yield the figures that differ, side by side."""
    ones, others = _figures_of(first), _figures_of(second)
    rows = [(name, ones[name], others[name]) for name in ones if ones[name] != others[name]]
    width = max((len(one) for _, one, _ in rows), default=0)
    for name, one, other in rows:
        yield f"{name:<12} {one:<{width}}  ->  {other}"


def _figures_of(run: RunNode | None) -> dict[str, str]:
    if run is None:
        return dict.fromkeys(("model", "status", "turns", "cells", "sub-calls", "usage"), "no run")
    runs = list(run.walk())
    models = ", ".join(run.usage.model_usage_summaries)
    return {
        "model": one_line(run.started.model, 60),
        "status": "running" if run.finished is None else run.finished.status,
        "turns": f"{len(run.turns):,}",
        "cells": f"{sum(len(each.cells) for each in runs):,}",
        "sub-calls": f"{sum(len(each.sub_calls) for each in runs):,}",
        "children": f"{len(runs) - 1:,}",
        "models used": one_line(models, 100),
        "usage": usage_text(run.usage) or "unknown",
    }


def _places(run: RunNode | None, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield each place of a run with its text."""
    if run is None:
        return
    yield f"{above}question", run.started.root_prompt or ""
    yield f"{above}context", str(run.started.context.get("description") or "")
    for turn in run.turns:
        place = f"{above}turn {turn.started.number}"
        yield f"{place}, reply", "" if turn.reply is None else turn.reply.text
        for cell in turn.cells:
            spot = f"{place}, cell {cell.started.number}"
            yield f"{spot}, code", cell.started.code
            yield f"{spot}, sub-calls", _calls(cell)
            children = [call.child for call in cell.sub_calls if call.child is not None]
            for number, child in enumerate(sorted(children, key=_asked), 1):
                yield from _places(child, f"{spot}, child {number}, ")
            stdout, stderr = streams(cell)
            yield f"{spot}, stdout", stdout
            yield f"{spot}, stderr", stderr
    finished = run.finished
    error = finished.error if finished is not None else None
    yield f"{above}error", "" if error is None else f"{error.get('type')}: {error.get('message')}"
    yield f"{above}answer", run.answer or ""


def _calls(cell: CellNode) -> str:
    """Return a cell's sub-calls, a line each, sorted: concurrent ones come in any order."""
    return "\n".join(sorted(map(_call, cell.sub_calls)))


def _call(call: SubCallNode) -> str:
    answer = "…"
    if call.finished is not None:
        answer = one_line(text_of(call.finished.response), 100)
    prompt = one_line(text_of(call.started.prompt), 100)
    return f"{call.name} {call.started.model}: {prompt} -> {answer}"


def _asked(run: RunNode) -> str:
    return f"{run.started.root_prompt} {run.started.context.get('preview')}"


def _changed_lines(first: str | None, second: str | None) -> Iterator[str]:
    """Yield the lines removed and added; None is a place that the run does not have."""
    ones, others = _lines(first), _lines(second)
    if ones == others:
        return
    compared = list(difflib.unified_diff(ones, others, n=1, lineterm=""))[2:]
    for line in compared[:LINES_SHOWN]:
        if not line.startswith("@@"):
            yield f"  {line}"
    if len(compared) > LINES_SHOWN:
        yield f"  … {len(compared) - LINES_SHOWN:,} more lines"


def _lines(text: str | None) -> list[str]:
    if not text:
        return []
    lines = masked(safe_text(text)).rstrip("\n").split("\n")[:_COMPARED]
    return [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in lines]
