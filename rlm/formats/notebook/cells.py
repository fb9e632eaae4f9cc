"""Which notebook cell holds which event, and the order of the cells: the tree, read aloud.

A run has a cell, and so has each of its turns and each block of code; all plain calls of a block
share one. A child's cell, with its turns and blocks below it, follows the block that called it.
Every event belongs to one slot; events that fit nowhere in the tree share one at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rlm.trajectory import CellNode, RunNode, SubCallNode, TurnNode

if TYPE_CHECKING:
    from rlm.events import Event
    from rlm.trajectory import Node, Trajectory

Kind = Literal["run", "turn", "cell", "calls", "child", "orphan"]

_ENDS_RUN_ALL = frozenset({"timeout", "died", "interrupted"})
"""How a block ended that would end a *Run All* too."""


@dataclass(slots=True, eq=False)
class CellSlot:
    """A place in the notebook for one cell, and the node it shows.

    Attributes:
        kind: What the cell shows.
        number: The number of its first event.
        node: The run, turn or cell; of `calls` the caller; of `child` the call or, where a call
            of another kind started it, the run. None for an orphan.
        depth: Of the run it belongs to; 0 for the root.
        written: The writer's state of the cell.
    """

    kind: Kind
    number: int
    node: Node | None
    depth: int = 0
    written: Any = field(default=None, repr=False)

    @property
    def cell_id(self) -> str:
        """The notebook cell's id."""
        return f"{self.kind}-{self.number}"

    @property
    def node_id(self) -> str:
        """The id of the node, as the cell's metadata can hold it; empty for an orphan."""
        return "" if self.node is None else portable_id(self.node.started.id)


def is_executable(slot: CellSlot) -> bool:
    """Whether a slot's cell is a code cell: a block of the root run that *Run All* survives."""
    node = slot.node
    if slot.kind != "cell" or slot.depth or not isinstance(node, CellNode):
        return False
    return node.finished is None or node.finished.status not in _ENDS_RUN_ALL


def shown_code(code: str) -> str:
    """Return code as a notebook's cell shows it; as JSON when it has half a surrogate pair."""
    try:
        code.encode()
    except UnicodeEncodeError:
        return json.dumps(code)
    return code


def portable_id(node_id: str) -> str:
    """Return a node's id in ASCII: a hostile log's may have half a surrogate pair."""
    return node_id.encode("ascii", "backslashreplace").decode()


class Layout:
    """Finds each event's slot as the events come.

    Args:
        trajectory: Folds the same events.
    """

    def __init__(self, trajectory: Trajectory) -> None:
        self._trajectory = trajectory
        self._slots: dict[str, CellSlot] = {}
        self._calls: dict[str, CellSlot] = {}
        self._orphan: CellSlot | None = None
        self._count = 0

    def place(self, event: Event) -> CellSlot:
        """Return the next event's slot; the trajectory has just folded it."""
        number = self._count
        self._count += 1
        slot = getattr(self, f"_{event.type}")(event, number)
        if slot is None:
            if self._orphan is None:
                self._orphan = CellSlot("orphan", number, None)
            slot = self._orphan
        assert isinstance(slot, CellSlot)
        return slot

    def __iter__(self) -> Iterator[CellSlot]:
        """Yield the slots in the order of the notebook's cells."""
        if self._trajectory.root is not None:
            waiting = [self._of_run(self._trajectory.root)]
            while waiting:
                part = next(waiting[-1], None)
                if part is None:
                    waiting.pop()
                elif isinstance(part, CellSlot):
                    yield part
                else:
                    waiting.append(self._of_run(part))
        if self._orphan is not None:
            yield self._orphan

    def _of_run(self, run: RunNode) -> Iterator[CellSlot | RunNode]:
        """Yield a run's slots, and its children where theirs belong."""
        slot = self._slots[run.started.id]
        if slot.node is run:  # Else it is its call's, which was yielded.
            yield slot
        yield from self._of_calls(run.started.id, run.setup_calls)
        for turn in run.turns:
            yield self._slots[turn.started.id]
            for cell in turn.cells:
                yield self._slots[cell.started.id]
                yield from self._of_calls(cell.started.id, cell.sub_calls)

    def _of_calls(self, maker: str, calls: list[SubCallNode]) -> Iterator[CellSlot | RunNode]:
        if maker in self._calls:
            yield self._calls[maker]
        for call in calls:
            if call.started.kind == "rlm":
                yield self._slots[call.started.id]
            if call.child is not None:
                yield call.child

    def _run_started(self, event: Event, number: int) -> CellSlot | None:
        run = self._trajectory.node(event.id)
        if not isinstance(run, RunNode) or run.started is not event:
            return None
        if run is self._trajectory.root:
            self._slots[event.id] = CellSlot("run", number, run)
            return self._slots[event.id]
        assert event.parent_id is not None
        above = self._trajectory.node(event.parent_id)
        assert isinstance(above, SubCallNode)
        slot = self._slots[event.parent_id]
        if above.started.kind != "rlm":
            slot = CellSlot("child", number, run, slot.depth + 1)
        self._slots[event.id] = slot
        return slot

    def _turn_or_cell_started(self, event: Event, number: int) -> CellSlot | None:
        node = self._trajectory.node(event.id)
        if not isinstance(node, TurnNode | CellNode) or node.started is not event:
            return None
        kind: Kind = "turn" if isinstance(node, TurnNode) else "cell"
        depth = self._slots[event.parent_id or ""].depth
        self._slots[event.id] = CellSlot(kind, number, node, depth)
        return self._slots[event.id]

    _turn_started = _cell_started = _turn_or_cell_started

    def _sub_call_started(self, event: Event, number: int) -> CellSlot | None:
        call = self._trajectory.node(event.id)
        if not isinstance(call, SubCallNode) or call.started is not event:
            return None
        maker = event.parent_id or ""
        above = self._slots[maker]
        if call.started.kind == "rlm":
            slot = CellSlot("child", number, call, above.depth + 1)
        elif maker in self._calls:
            slot = self._calls[maker]
        else:
            node = self._trajectory.node(maker)
            slot = self._calls[maker] = CellSlot("calls", number, node, above.depth)
        self._slots[event.id] = slot
        return slot

    def _of_node(self, event: Event, _number: int) -> CellSlot | None:
        """Place an event that finishes a node; one that the fold refused is an orphan."""
        node = self._trajectory.node(event.id)
        taken = node is not None and getattr(node, "finished", None) is event
        return self._slots[event.id] if taken else None

    _run_finished = _turn_finished = _cell_finished = _sub_call_finished = _of_node

    def _model_reply(self, event: Event, _number: int) -> CellSlot | None:
        turn = self._trajectory.node(event.id)
        return self._slots[event.id] if isinstance(turn, TurnNode) else None

    def _cell_output(self, event: Event, _number: int) -> CellSlot | None:
        cell = self._trajectory.node(event.parent_id or "")
        return self._slots[cell.started.id] if isinstance(cell, CellNode) else None

    def _note(self, event: Event, _number: int) -> CellSlot | None:
        node = self._trajectory.node(event.parent_id or "")
        return None if node is None else self._slots[node.started.id]
