"""Which notebook cell holds which event, and in what order the cells stand: the tree, read aloud.

A run has a cell; each of its turns has one, each block of code, and all plain calls of a block
together. A child's cell, with its turns and blocks below it, follows the block that asked for it.
Every event has its home in one of them, so that nothing is written twice; what fits nowhere in the
tree has a cell of its own at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rlm.trajectory import CellNode, RunNode, SubCallNode, TurnNode

if TYPE_CHECKING:
    from rlm.events import Event
    from rlm.trajectory import Node, Trajectory

Kind = Literal["run", "turn", "cell", "calls", "child", "loose"]


@dataclass(slots=True, eq=False)
class Home:
    """A notebook cell to be, and the node it is about.

    Attributes:
        kind: What it is.
        number: The number of its first event; with `kind`, the notebook cell's id.
        node: The run, turn or cell; of `calls` what made them; of `child` the call or, where the
            call is none that starts children, the run. None for what fits nowhere.
        depth: Of the run it belongs to; 0 for the root.
        written: The writer's own.
    """

    kind: Kind
    number: int
    node: Node | None
    depth: int = 0
    written: Any = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """The notebook cell's id."""
        return f"{self.kind}-{self.number}"


class Layout:
    """Finds each event's home as the events come.

    Args:
        trajectory: Folds the same events.
    """

    def __init__(self, trajectory: Trajectory) -> None:
        self._trajectory = trajectory
        self._homes: dict[str, Home] = {}
        self._calls: dict[str, Home] = {}
        self._loose: Home | None = None
        self._count = 0

    def place(self, event: Event) -> Home:
        """Return an event's home; the trajectory has folded it just now.

        Args:
            event: The next one.
        """
        number = self._count
        self._count += 1
        home = getattr(self, f"_{event.type}")(event, number)
        if home is None:
            if self._loose is None:
                self._loose = Home("loose", number, None)
            home = self._loose
        assert isinstance(home, Home)
        return home

    def __iter__(self) -> Iterator[Home]:
        """Yield the homes in the order of the notebook's cells."""
        if self._trajectory.root is not None:
            waiting = [self._of_run(self._trajectory.root)]
            while waiting:
                part = next(waiting[-1], None)
                if part is None:
                    waiting.pop()
                elif isinstance(part, Home):
                    yield part
                else:
                    waiting.append(self._of_run(part))
        if self._loose is not None:
            yield self._loose

    def _of_run(self, run: RunNode) -> Iterator[Home | RunNode]:
        """Yield a run's homes, and its children where theirs belong."""
        home = self._homes[run.started.id]
        if home.node is run:  # Else it is its call's, which was yielded.
            yield home
        yield from self._of_calls(run.started.id, run.setup_calls)
        for turn in run.turns:
            yield self._homes[turn.started.id]
            for cell in turn.cells:
                yield self._homes[cell.started.id]
                yield from self._of_calls(cell.started.id, cell.sub_calls)

    def _of_calls(self, maker: str, calls: list[SubCallNode]) -> Iterator[Home | RunNode]:
        if maker in self._calls:
            yield self._calls[maker]
        for call in calls:
            if call.started.kind == "rlm":
                yield self._homes[call.started.id]
            if call.child is not None:
                yield call.child

    def _run_started(self, event: Event, number: int) -> Home | None:
        run = self._trajectory.node(event.id)
        if not isinstance(run, RunNode) or run.started is not event:
            return None
        if run is self._trajectory.root:
            self._homes[event.id] = Home("run", number, run)
            return self._homes[event.id]
        assert event.parent_id is not None
        above = self._trajectory.node(event.parent_id)
        assert isinstance(above, SubCallNode)
        home = self._homes[event.parent_id]
        if above.started.kind != "rlm":
            home = Home("child", number, run, home.depth + 1)
        self._homes[event.id] = home
        return home

    def _turn_started(self, event: Event, number: int) -> Home | None:
        turn = self._trajectory.node(event.id)
        if not isinstance(turn, TurnNode) or turn.started is not event:
            return None
        depth = self._homes[event.parent_id or ""].depth
        self._homes[event.id] = Home("turn", number, turn, depth)
        return self._homes[event.id]

    def _cell_started(self, event: Event, number: int) -> Home | None:
        cell = self._trajectory.node(event.id)
        if not isinstance(cell, CellNode) or cell.started is not event:
            return None
        depth = self._homes[event.parent_id or ""].depth
        self._homes[event.id] = Home("cell", number, cell, depth)
        return self._homes[event.id]

    def _sub_call_started(self, event: Event, number: int) -> Home | None:
        call = self._trajectory.node(event.id)
        if not isinstance(call, SubCallNode) or call.started is not event:
            return None
        maker = event.parent_id or ""
        above = self._homes[maker]
        if call.started.kind == "rlm":
            home = Home("child", number, call, above.depth + 1)
        elif maker in self._calls:
            home = self._calls[maker]
        else:
            node = self._trajectory.node(maker)
            home = self._calls[maker] = Home("calls", number, node, above.depth)
        self._homes[event.id] = home
        return home

    def _of_node(self, event: Event, _number: int) -> Home | None:
        """Place an event that finishes a node; one that the fold did not take fits nowhere."""
        node = self._trajectory.node(event.id)
        taken = node is not None and getattr(node, "finished", None) is event
        return self._homes[event.id] if taken else None

    _run_finished = _turn_finished = _cell_finished = _sub_call_finished = _of_node

    def _model_reply(self, event: Event, _number: int) -> Home | None:
        turn = self._trajectory.node(event.id)
        return self._homes[event.id] if isinstance(turn, TurnNode) else None

    def _cell_output(self, event: Event, _number: int) -> Home | None:
        cell = self._trajectory.node(event.parent_id or "")
        return self._homes[cell.started.id] if isinstance(cell, CellNode) else None

    def _note(self, event: Event, _number: int) -> Home | None:
        node = self._trajectory.node(event.parent_id or "")
        return None if node is None else self._homes[node.started.id]
