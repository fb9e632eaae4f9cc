"""Folds events into a tree of nodes, also while the run goes on."""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, Any

from rlm.redaction import Redaction
from rlm.trajectory.codec import events_from_dict, events_to_dict
from rlm.trajectory.nodes import CellNode, Node, RunNode, SubCallNode, TurnNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rlm.events import (
        CellFinished,
        CellOutput,
        CellStarted,
        Event,
        ModelReply,
        Note,
        RunFinished,
        RunStarted,
        SubCallFinished,
        SubCallStarted,
        TurnFinished,
        TurnStarted,
    )
    from rlm.trajectory.comparison import Comparison
    from rlm.usage import UsageSummary


class Trajectory:
    """The record of a tree: every event of a root run and its descendants, folded into nodes.

    Any number of threads may add and read. An event that fits nowhere (its parent is unknown, or
    its node is of another kind) stays among the events but is not in the tree, so that an
    incomplete log still opens.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._nodes: dict[str, Node] = {}
        self._runs: dict[str, RunNode] = {}
        self._root: RunNode | None = None

    @classmethod
    def from_events(cls, events: Iterable[Event]) -> Trajectory:
        """Fold recorded events.

        Args:
            events: In the order in which they happened; the end may be missing.
        """
        trajectory = cls()
        for event in events:
            trajectory.add(event)
        return trajectory

    @property
    def events(self) -> tuple[Event, ...]:
        """Every event, in order."""
        with self._lock:
            return tuple(self._events)

    @property
    def root(self) -> RunNode | None:
        """The root run; None before the first event."""
        return self._root

    @property
    def usage(self) -> UsageSummary | None:
        """The usage of the whole tree so far; None before the first event."""
        return None if self._root is None else self._root.usage

    @property
    def counts(self) -> dict[str, int]:
        """How many `turns`, `cells`, `sub_calls` and `children` the whole tree has."""
        with self._lock:
            kinds = [type(node) for node in self._nodes.values()]
        return {
            "turns": kinds.count(TurnNode),
            "cells": kinds.count(CellNode),
            "sub_calls": kinds.count(SubCallNode),
            "children": max(kinds.count(RunNode) - 1, 0),
        }

    def node(self, node_id: str) -> Node | None:
        """Return a node; None when there is none with this id.

        Args:
            node_id: The `id` of the event that started it.
        """
        return self._nodes.get(node_id)

    def add(self, event: Event) -> None:
        """Fold one more event.

        Args:
            event: The next event; any event is accepted.
        """
        with self._lock:
            self._events.append(event)
            # The method for an event class is named after its `type`.
            getattr(self, f"_{event.type}")(event)

    def to_dict(self) -> dict[str, Any]:
        """Return `{"schema": 1, "events": [...]}`: only JSON values, without loss."""
        return events_to_dict(self.events)

    @classmethod
    def from_dict(cls, data: object) -> Trajectory:
        """Read what `to_dict` wrote.

        Args:
            data: The dictionary, for example parsed from a `.json` file.

        Raises:
            TrajectoryError: It is no trajectory; the message says what is wrong.
        """
        return cls.from_events(events_from_dict(data))

    def same_as(self, other: Trajectory) -> Comparison:
        """Compare what two runs did, apart from times, ids and the order of concurrent calls.

        Args:
            other: The trajectory of another run, such as a replay of this one.

        Returns:
            A comparison that is true if they did the same; its text says what differs.
        """
        from rlm.trajectory.comparison import compare

        return compare(self.root, other.root)

    def save(self, path: str | Path, *, redact: Callable[[str], str] | None = None) -> Path:
        """Write the trajectory to a file, whole or not at all; see `rlm.trajectory.save`.

        Args:
            path: The file; its suffix decides the format.
            redact: Called with every text before it is written; returns what may be kept.
        """
        written: Path = _built_on_this("rlm.trajectory.files").save(self, path, redact=redact)
        return written

    @classmethod
    def load(cls, path: str | Path) -> Trajectory:
        """Read a trajectory from a file; see `rlm.trajectory.load`.

        Args:
            path: The file; its suffix names the format.
        """
        read: Trajectory = _built_on_this("rlm.trajectory.files").load(path)
        return read

    def view(self) -> None:
        """Show the whole run: in the viewer in a notebook, as a tree in a terminal."""
        _built_on_this("rlm.render.view").show(self)

    def __len__(self) -> int:
        return len(self._events)

    def __repr__(self) -> str:
        if self._root is None:
            return "<Trajectory: no events>"
        counts = ", ".join(f"{n} {name.replace('_', '-')}" for name, n in self.counts.items())
        state = self._root.finished.status if self._root.finished else "running"
        return f"<Trajectory of {self._root.started.model}: {state}; {counts}>"

    def _run_started(self, event: RunStarted) -> None:
        if event.id in self._nodes:
            return
        above = None if event.parent_id is None else self._nodes.get(event.parent_id)
        run = RunNode(started=event)
        if isinstance(above, SubCallNode) and above.child is None:
            above.child = run
            parent = self._runs.get(above.started.run_id)
            if parent is not None:
                parent.children.append(run)
        elif self._root is None:
            self._root = run
        else:
            return
        self._nodes[event.id] = run
        self._runs.setdefault(event.run_id, run)

    def _turn_started(self, event: TurnStarted) -> None:
        run = self._parent(event)
        if isinstance(run, RunNode):
            previous = run.turns[-1] if run.turns else None
            turn = TurnNode(started=event, previous=previous)
            run.turns.append(turn)
            self._nodes[event.id] = turn

    def _cell_started(self, event: CellStarted) -> None:
        turn = self._parent(event)
        if isinstance(turn, TurnNode):
            cell = CellNode(started=event)
            turn.cells.append(cell)
            self._nodes[event.id] = cell

    def _sub_call_started(self, event: SubCallStarted) -> None:
        above = self._parent(event)
        if isinstance(above, CellNode | RunNode):
            call = SubCallNode(started=event)
            calls = above.sub_calls if isinstance(above, CellNode) else above.setup_calls
            calls.append(call)
            self._nodes[event.id] = call

    def _model_reply(self, event: ModelReply) -> None:
        turn = self._nodes.get(event.id)
        if isinstance(turn, TurnNode):
            turn.replies.append(event)
            self._count(event)

    def _cell_output(self, event: CellOutput) -> None:
        cell = self._nodes.get(event.parent_id or "")
        if isinstance(cell, CellNode):
            cell.outputs.append(event.output)

    def _run_finished(self, event: RunFinished) -> None:
        self._finish(event, RunNode)

    def _turn_finished(self, event: TurnFinished) -> None:
        self._finish(event, TurnNode)

    def _cell_finished(self, event: CellFinished) -> None:
        self._finish(event, CellNode)

    def _sub_call_finished(self, event: SubCallFinished) -> None:
        finished = self._finish(event, SubCallNode)
        if finished and event.kind == "llm" and (event.error is None or event.usage.input_tokens):
            self._count(event)

    def _finish(self, event: Any, kind: type[Node]) -> bool:
        """Finish the event's node; false if there is none of this kind, or it is finished."""
        node = self._nodes.get(event.id)
        if not isinstance(node, kind) or node.finished is not None:
            return False
        node.finished = event
        return True

    def _note(self, event: Note) -> None:
        node = self._nodes.get(event.parent_id or "")
        if node is not None:
            node.notes.append(event)

    def _parent(self, event: Event) -> Node | None:
        """Return the parent node; None also if another node has the event's id."""
        return None if event.id in self._nodes else self._nodes.get(event.parent_id or "")

    def _count(self, event: ModelReply | SubCallFinished) -> None:
        run = self._runs.get(event.run_id)
        if run is not None:
            run.tally.add(event.model, event.usage)


def redacted(trajectory: Trajectory, redact: Callable[[str], str] | None = None) -> Trajectory:
    """Return a copy of a trajectory without secrets, for a file, a view or another program.

    Args:
        trajectory: Finished or not.
        redact: As for `rlm.trajectory.redacted_event`.
    """
    return Trajectory.from_events(map(Redaction(redact), trajectory.events))


def _built_on_this(module: str) -> Any:
    """Import a module above this one by name, because no import statement may run upwards."""
    return importlib.import_module(module)
