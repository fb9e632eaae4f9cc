"""A notebook that grows with its run: an event becomes text once, a cell when something changed.

Writing a long run's notebook again and again must not cost more with every event: a cell keeps its
text for as long as nothing happens in it, and its events keep theirs for ever.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rlm.events import CellFinished, CellOutput, CellStarted, TurnStarted
from rlm.formats.notebook import markdown as prose
from rlm.formats.notebook.cells import Layout
from rlm.formats.notebook.event_text import EventWriter
from rlm.formats.notebook.outputs import Shown, outputs_digest
from rlm.formats.notebook.values import portable_text
from rlm.trajectory import CellNode, RunNode, SubCallNode, TurnNode

if TYPE_CHECKING:
    from rlm.events import Event
    from rlm.formats.notebook.cells import Home
    from rlm.trajectory import Trajectory

SCHEMA = 1
"""The number of the format that we write."""

NAMESPACE = "rlm"
"""Our key in the metadata of a notebook and its cells."""

_NOT_RUN_AGAIN = frozenset({"timeout", "died", "interrupted"})
"""Cells that ended like this would end a *Run All* too: they are shown, not executable."""

_KERNELSPECS = {
    "local": ("rlm", "RLM (local)"),
    "docker": ("rlm-docker", "RLM (Docker)"),
    "modal": ("rlm-modal", "RLM (Modal)"),
}


@dataclass(slots=True)
class _Cell:
    """What a home has of its text.

    Attributes:
        events: The events' texts.
        outputs: Of a code cell: what it shows; None of one that is not executable.
        placed: The outputs' events, with where in `events` they stand and their numbers.
        content: The whole cell; empty when it must be made anew.
    """

    events: list[str] = field(default_factory=list)
    outputs: Shown | None = None
    placed: list[tuple[int, int, CellOutput]] = field(default_factory=list)
    content: bytes = b""


class Draft:
    """The notebook of one tree, as far as it got.

    Args:
        trajectory: Folds the same events; every event is folded first and taken then.
    """

    def __init__(self, trajectory: Trajectory) -> None:
        self._trajectory = trajectory
        self._layout = Layout(trajectory)
        self._writer = EventWriter()
        self._homes: dict[str, Home] = {}
        self._count = 0

    def take(self, event: Event) -> None:
        """Write one more event down.

        Args:
            event: What the trajectory has folded just now.
        """
        number = self._count
        self._count += 1
        home = self._layout.place(event)
        if home.written is None:
            executable = home.kind == "cell" and home.depth == 0
            home.written = _Cell(outputs=Shown() if executable else None)
        cell: _Cell = home.written
        cell.content = b""
        if isinstance(event, CellOutput) and cell.outputs is not None:
            cell.placed.append((len(cell.events), number, event))
        cell.events.append(self._writer.text(event, number, cell.outputs))
        if isinstance(event, TurnStarted):
            self._homes[event.id] = home
        elif isinstance(event, CellStarted) and event.parent_id in self._homes:
            self._homes[event.parent_id].written.content = b""  # Its code is told as a cell now.
        elif isinstance(event, CellFinished) and event.status in _NOT_RUN_AGAIN:
            self._show_only(cell)

    def content(
        self, *, restore: str | None = None, about: dict[str, Any] | None = None
    ) -> list[bytes]:
        """Return the notebook's file, in pieces: cells that did not change are not copied.

        Args:
            restore: The source of the cell that restores the REPL.
            about: More entries for the notebook's metadata.
        """
        pieces = [b'{\n "cells": [\n']
        for home in self._layout:
            cell: _Cell = home.written
            if not cell.content or home.kind == "run":  # The head counts what happens anywhere.
                cell.content = self._cell_text(home, cell).encode()
            pieces += [cell.content, b",\n"]
            if home.kind == "run" and restore is not None:
                pieces += [_restore_text(restore).encode(), b",\n"]
        pieces[-1] = pieces[-1].removesuffix(b",\n")
        metadata = json.dumps(self._metadata(about or {}), ensure_ascii=False, indent=1)
        metadata = metadata.replace("\n", "\n ")
        tail = f'\n ],\n "metadata": {metadata},\n "nbformat": 4,\n "nbformat_minor": 5\n}}\n'
        return [*pieces, tail.encode()]

    def _metadata(self, about: dict[str, Any]) -> dict[str, Any]:
        root = self._trajectory.root
        environment = None if root is None else root.started.config.get("environment_type")
        name, shown = _KERNELSPECS.get(str(environment), _KERNELSPECS["local"])
        ended = None if root is None or root.finished is None else root.finished.status
        return {
            "kernelspec": {"display_name": shown, "language": "python", "name": name},
            "language_info": {
                "file_extension": ".py",
                "mimetype": "text/x-python",
                "name": "python",
                "pygments_lexer": "ipython3",
            },
            NAMESPACE: {"schema": SCHEMA, "events": self._count, "status": ended, **about},
        }

    def _show_only(self, cell: _Cell) -> None:
        """Make a cell one that is not executable: its metadata holds its outputs then."""
        cell.outputs = None
        for index, number, event in cell.placed:
            cell.events[index] = self._writer.text(event, number, None)
        cell.placed.clear()

    def _cell_text(self, home: Home, cell: _Cell) -> str:
        record: dict[str, Any] = {"kind": home.kind}
        metadata: dict[str, Any] = {"tags": _tags(home, cell)}
        node = home.node
        if cell.outputs is not None and isinstance(node, CellNode):
            outputs = cell.outputs.finished()
            record["outputs"] = outputs_digest(outputs)
            if times := _times(node):
                metadata["execution"] = times
            visible: dict[str, Any] = {
                "cell_type": "code",
                "execution_count": node.finished.execution_count if node.finished else None,
                "outputs": outputs,
            }
            source = code_shown(node)
        else:
            visible = {"cell_type": "markdown"}
            source = _markdown(home, cell)
        # By hand, so that each event and each line of code has a line of the file.
        events = ",\n".join(cell.events)
        record_text = json.dumps(record)[:-1] + f', "events": [\n{events}\n   ]}}'
        fields = {name: json.dumps(value, ensure_ascii=False) for name, value in visible.items()}
        fields["metadata"] = json.dumps(metadata)[:-1] + f', "{NAMESPACE}": {record_text}}}'
        fields["source"] = _json_lines(source)
        return _json_cell({"id": f'"{home.key}"', **fields})


def _markdown(home: Home, cell: _Cell) -> str:
    node = home.node
    match home.kind, node:
        case "run", RunNode():
            return prose.run_text(node)
        case "turn", TurnNode():
            return prose.turn_text(node, home.depth)
        case "cell", CellNode():
            return prose.cell_text(node)
        case "calls", CellNode():
            return prose.calls_text(node.sub_calls)
        case "calls", RunNode():
            return prose.calls_text(node.setup_calls)
        case "child", SubCallNode():
            return prose.child_text(node, node.child, home.depth)
        case "child", RunNode():
            return prose.child_text(None, node, home.depth)
    return prose.loose_text(len(cell.events))


def _tags(home: Home, cell: _Cell) -> list[str]:
    tags = [f"rlm-{home.kind}"]
    if home.depth and home.kind != "child":
        tags.append("rlm-child")
    node = home.node
    if cell.outputs is not None and isinstance(node, CellNode):
        if node.finished is None:
            tags.append("rlm-unfinished")
        elif node.finished.status == "error":
            tags.append("raises-exception")
    return tags


def _times(node: CellNode) -> dict[str, str]:
    """Return when a cell ran, as front ends record it (`metadata.execution`)."""
    times = {"iopub.status.busy": node.started.time, "iopub.execute_input": node.started.time}
    if node.finished is not None:
        end = node.finished.time
        times |= {"shell.execute_reply": end, "iopub.status.idle": end}
    try:
        return {
            name: datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
            for name, seconds in times.items()
        }
    except (ValueError, OverflowError, OSError):  # A log's times may be anything.
        return {}


def code_shown(node: CellNode) -> str:
    """Return a cell's code as its notebook's cell shows it.

    Args:
        node: Any cell.
    """
    code = portable_text(node.started.code)
    return code if isinstance(code, str) else code["$escaped"]


def _restore_text(source: str) -> str:
    metadata = {
        "jupyter": {"source_hidden": True},
        "tags": ["rlm-restore", "hide-input"],
        NAMESPACE: {"kind": "restore"},
    }
    return _json_cell(
        {
            "id": '"restore"',
            "cell_type": '"code"',
            "execution_count": "null",
            "outputs": "[]",
            "metadata": json.dumps(metadata),
            "source": _json_lines(source),
        }
    )


def _json_cell(fields: dict[str, str]) -> str:
    """Return a cell of values that are JSON already."""
    return "  {\n" + ",\n".join(f'   "{name}": {text}' for name, text in fields.items()) + "\n  }"


def _json_lines(text: str) -> str:
    lines = [json.dumps(line, ensure_ascii=False) for line in text.splitlines(keepends=True)]
    return "[\n    " + ",\n    ".join(lines) + "\n   ]" if lines else "[]"
