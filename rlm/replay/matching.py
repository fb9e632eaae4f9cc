"""Finds the run, turn, cell and sub-call of a log that match those of the live run."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from rlm.trajectory import CellNode, RunNode, SubCallNode, TurnNode
from rlm.trajectory.models_asked import default_model, models_before
from rlm_kernel.recorded_calls import RecordedCall, RecordedCalls

if TYPE_CHECKING:
    from rlm.trajectory import Node, Trajectory

Container = CellNode | RunNode
"""The parent of a sub-call: a cell, or a run whose `setup_code` called."""


class RecordedRuns:
    """Finds the node of a log (below `root`) that matches a node of the live run.

    The root run matches the root run. A turn or cell matches the one with the same number. A child
    matches the child that an equal call of the same cell started.
    """

    def __init__(self, root: RunNode, live: Trajectory) -> None:
        self._live = live
        self._root = root
        self._used: set[int] = set()
        self._places: dict[str, RecordedCalls] = {}
        self._calls: dict[str, list[RecordedCall]] = {}
        self._matched: dict[str, RecordedCall | None] = {}
        self._everywhere: RecordedCalls | None = None

    def run(self, node: RunNode) -> RunNode | None:
        """Return the recorded run that matches; None if there is none."""
        if node.started.parent_id is None:
            return self._root
        above = self._live.node(node.started.parent_id)
        if not isinstance(above, SubCallNode):
            return None
        match = self.match(above)
        return match.outcome.child if match is not None else None

    def turn(self, node: TurnNode) -> TurnNode | None:
        """Return the recorded turn that matches; None if there is none."""
        live = self._live.node(node.started.run_id)
        run = self.run(live) if isinstance(live, RunNode) else None
        turns = run.turns if run is not None else ()
        return next((t for t in turns if t.started.number == node.started.number), None)

    def cell(self, node: CellNode) -> CellNode | None:
        """Return the recorded cell that matches; None if there is none."""
        above = self._live.node(node.started.parent_id or "")
        turn = self.turn(above) if isinstance(above, TurnNode) else None
        return None if turn is None else cell_numbered(turn, node.started.number)

    def match(self, call: SubCallNode) -> RecordedCall | None:
        """Return the recorded call that equals a sub-call; None if none is left."""
        key = call.started.id
        if key not in self._matched:
            calls = self.calls_beside(call)
            self._matched[key] = None if calls is None else self._taken(calls, call)
        return self._matched[key]

    def use(self, call: SubCallNode, match: RecordedCall) -> None:
        """Answer a sub-call with a recorded call that is not equal or from another cell."""
        self._matched[call.started.id] = match
        self._used.add(id(match))

    def calls_beside(self, call: SubCallNode) -> RecordedCalls | None:
        """Return the recorded calls of the cell or run that made a sub-call."""
        above = self._live.node(call.started.parent_id or "")
        place: Container | None = None
        if isinstance(above, CellNode):
            place = self.cell(above)
        elif isinstance(above, RunNode):
            place = self.run(above)
        if place is None:
            return None
        key = place.started.id
        if key not in self._places:
            self._places[key] = RecordedCalls(self._calls_of(place), self._used)
        return self._places[key]

    def everywhere(self) -> RecordedCalls:
        """Return the calls of the whole log."""
        if self._everywhere is None:
            places: list[Container] = []
            for run in self._root.walk():
                places += [run, *run.cells]
            calls = [call for place in places for call in self._calls_of(place)]
            self._everywhere = RecordedCalls(calls, self._used)
        return self._everywhere

    def _taken(self, calls: RecordedCalls, call: SubCallNode) -> RecordedCall | None:
        started = call.started
        # A call that names a model asked the same model in the forked run.
        before = self._models_before if started.model == self._default else []
        for model in (started.model, *before):
            found = calls.take(started.kind, model, started.prompt)
            if found is not None:
                return found
        return None

    @cached_property
    def _default(self) -> str:
        return default_model(self._root)

    @cached_property
    def _models_before(self) -> list[str]:
        return models_before(self._root)

    def _calls_of(self, place: Container) -> list[RecordedCall]:
        key = place.started.id
        if key not in self._calls:
            calls = place.sub_calls if isinstance(place, CellNode) else place.setup_calls
            name = self._names.get(key, "setup_code")
            self._calls[key] = [
                RecordedCall.of(
                    call.started.kind,
                    call.started.model,
                    call.started.prompt,
                    place=name,
                    outcome=call,
                )
                for call in calls
            ]
        return self._calls[key]

    @cached_property
    def _names(self) -> dict[str, str]:
        return {
            cell.started.id: f"turn {turn.started.number}, cell {cell.started.number}"
            for run in self._root.walk()
            for turn in run.turns
            for cell in turn.cells
        }


def cell_numbered(turn: TurnNode, number: int) -> CellNode | None:
    """Return a turn's cell by its number; None if there is none."""
    return next((cell for cell in turn.cells if cell.started.number == number), None)


def where(node: Node, live: Trajectory) -> str:
    """Return the name of a place in the live run: ``"turn 2, cell 1"``."""
    if isinstance(node, CellNode):
        above = live.node(node.started.parent_id or "")
        turn = f"turn {above.started.number}, " if isinstance(above, TurnNode) else ""
        return f"{turn}cell {node.started.number}"
    if isinstance(node, TurnNode):
        return f"turn {node.started.number}"
    if isinstance(node, SubCallNode):
        above = live.node(node.started.parent_id or "")
        return where(above, live) if above is not None else "setup_code"
    return "setup_code"
