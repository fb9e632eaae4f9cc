"""One turn in full: what the model was sent, what it replied, what its cells did."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rlm.render.cell_text import streams, text_of
from rlm.render.outline import Line, failed, group_text, note_lines, outline, seconds, turn_head
from rlm.render.safe_text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlm.render.outline import Role
    from rlm.trajectory import CellNode, SubCallNode, TurnNode


_as_text = partial(text_of, indent=2)


def whole_turn(turn: TurnNode) -> Iterator[Line]:
    """Yield the lines of a turn with nothing cut."""
    yield next(iter(turn_head(turn, 0)))
    kept = turn.started.kept
    yield Line(1, "turn", f"what the model was sent{f', after {kept:,} messages' if kept else ''}")
    for message in turn.started.messages:
        yield from _block(2, "prose", f"{message.get('role')}: {_as_text(message.get('content'))}")
    for reply in turn.replies:
        what = "its reply" if reply.purpose == "turn" else "its summary of the conversation"
        yield Line(1, "turn", f"{what}, after {seconds(reply.duration)}")
        yield from _block(2, "prose", reply.text)
        if reply.reasoning:
            yield Line(1, "turn", "what it thought, which is no part of its reply")
            yield from _block(2, "prose", reply.reasoning)
    for cell in turn.cells:
        yield from _cell(cell)
    yield from note_lines(turn.notes, 1)
    if turn.finished is not None and turn.finished.final_answer is not None:
        yield Line(1, "turn", "its answer")
        yield from _block(2, "answer", turn.finished.final_answer)


def _cell(cell: CellNode) -> Iterator[Line]:
    finished = cell.finished
    state = "running" if finished is None else f"{finished.status}, {seconds(finished.duration)}"
    yield Line(1, "turn", f"cell {cell.started.number}: {state}")
    yield from _block(2, "code", cell.started.code)
    for call in cell.sub_calls:
        yield from _call(call)
    stdout, stderr = streams(cell)
    yield from _block(2, "output", stdout)
    yield from _block(2, "error", stderr)
    yield from note_lines(cell.notes, 2)
    if finished is not None and finished.variables:
        yield Line(2, "turn", "variables")
        for name, value in finished.variables.items():
            yield from _block(3, "output", f"{name}: {value.get('type')} = {value.get('preview')}")


def _call(call: SubCallNode) -> Iterator[Line]:
    yield Line(2, "error" if failed(call) else "calls", group_text([call]))
    yield from _block(3, "prose", _as_text(call.started.prompt))
    if call.child is not None:
        yield from outline(call.child, 3)
    elif call.finished is not None:
        role: Role = "error" if failed(call) else "answer"
        yield from _block(3, role, _as_text(call.finished.response))


def _block(level: int, role: Role, text: str) -> Iterator[Line]:
    text = text.rstrip("\n")
    if text:
        yield from (Line(level, role, line) for line in safe_text(text).split("\n"))
