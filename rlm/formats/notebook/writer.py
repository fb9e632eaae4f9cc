"""A notebook that grows with its run: a cell is written anew only when something in it changed.

Saving a long run's notebook must not cost more with every event: each event becomes text once, and
a cell keeps its text until something happens in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rlm.events import CellOutput, CellStarted, TurnStarted
from rlm.formats.notebook import markdown
from rlm.formats.notebook.cells import Layout, is_executable, shown_code
from rlm.formats.notebook.outputs import ShownOutputs
from rlm.formats.notebook.record import NAMESPACE, SCHEMA, RecordWriter
from rlm.trajectory import CellNode, RunNode, SubCallNode, TurnNode

if TYPE_CHECKING:
    from rlm.events import Event
    from rlm.formats.notebook.cells import CellSlot
    from rlm.trajectory import Trajectory

_KERNELSPECS = {
    "local": ("rlm", "RLM (local)"),
    "docker": ("rlm-docker", "RLM (Docker)"),
    "modal": ("rlm-modal", "RLM (Modal)"),
}


@dataclass(slots=True)
class _Cell:
    """The state of a slot's cell.

    Attributes:
        outputs: A code cell's outputs; None for any other cell.
        events: How many events belong to it.
        content: The whole cell as text; empty when it must be made anew.
    """

    outputs: ShownOutputs | None = None
    events: int = 0
    content: bytes = b""


class NotebookWriter:
    """The notebook of one tree so far.

    Args:
        trajectory: Folds the same events, each before `take` is called with it.
    """

    def __init__(self, trajectory: Trajectory) -> None:
        self._trajectory = trajectory
        self._layout = Layout(trajectory)
        self._record = RecordWriter()
        self._turns: dict[str, _Cell] = {}

    def take(self, event: Event) -> None:
        """Add an event that the trajectory has just folded."""
        self._record.add(event)
        slot = self._layout.place(event)
        if slot.written is None:
            slot.written = _Cell(outputs=ShownOutputs() if is_executable(slot) else None)
        cell: _Cell = slot.written
        cell.content = b""
        cell.events += 1
        if isinstance(event, CellOutput) and cell.outputs is not None:
            cell.outputs.add(event.output)
        elif isinstance(event, TurnStarted):
            self._turns[event.id] = cell
        elif isinstance(event, CellStarted) and event.parent_id in self._turns:
            self._turns[event.parent_id].content = b""  # Its code has a cell now.

    def content(
        self, *, restore: str | None = None, about: dict[str, Any] | None = None
    ) -> list[bytes]:
        """Return the notebook's file in pieces, so that unchanged cells are not copied.

        `restore` is the source of the cell that restores the REPL; `about` has more entries for our
        metadata of the notebook.
        """
        pieces = [b'{\n "cells": [\n']
        for slot in self._layout:
            cell: _Cell = slot.written
            if not cell.content or slot.kind == "run":  # The head counts what happens anywhere.
                cell.content = _cell_text(slot, cell).encode()
            pieces += [cell.content, b",\n"]
            if slot.kind == "run" and restore is not None:
                pieces += [_restore_text(restore).encode(), b",\n"]
        pieces[-1] = pieces[-1].removesuffix(b",\n")
        pieces += [b'\n ],\n "metadata": {\n']
        for name, value in self._standard_metadata().items():
            pieces += [f'  "{name}": {json.dumps(value)},\n'.encode()]
        pieces += [f'  "{NAMESPACE}": {{\n'.encode()]
        for name, value in self._own_metadata(about or {}).items():
            pieces += [f'   "{name}": {json.dumps(value, ensure_ascii=False)},\n'.encode()]
        pieces += self._record.pieces()
        pieces += [b'\n  }\n },\n "nbformat": 4,\n "nbformat_minor": 5\n}\n']
        return pieces

    def _standard_metadata(self) -> dict[str, Any]:
        root = self._trajectory.root
        environment = None if root is None else root.started.config.get("environment_type")
        name, shown = _KERNELSPECS.get(str(environment), _KERNELSPECS["local"])
        return {
            "kernelspec": {"display_name": shown, "language": "python", "name": name},
            "language_info": {
                "file_extension": ".py",
                "mimetype": "text/x-python",
                "name": "python",
                "pygments_lexer": "ipython3",
            },
        }

    def _own_metadata(self, about: dict[str, Any]) -> dict[str, Any]:
        root = self._trajectory.root
        ended = None if root is None or root.finished is None else root.finished.status
        return {"schema": SCHEMA, "status": ended, **about}


def _cell_text(slot: CellSlot, cell: _Cell) -> str:
    metadata: dict[str, Any] = {"tags": _tags(slot)}
    node = slot.node
    if is_executable(slot) and cell.outputs is not None and isinstance(node, CellNode):
        if times := _times(node):
            metadata["execution"] = times
        visible: dict[str, Any] = {
            "cell_type": "code",
            "execution_count": node.finished.execution_count if node.finished else None,
            "outputs": cell.outputs.outputs(),
        }
        source = shown_code(node.started.code)
    else:
        visible = {"cell_type": "markdown"}
        source = _markdown(slot, cell)
    if slot.node_id:
        metadata[NAMESPACE] = {"node": slot.node_id}
    return _json_cell({"id": slot.cell_id, **visible, "metadata": metadata}, source)


def _markdown(slot: CellSlot, cell: _Cell) -> str:
    node = slot.node
    match slot.kind, node:
        case "run", RunNode():
            return markdown.run_text(node)
        case "turn", TurnNode():
            return markdown.turn_text(node, slot.depth)
        case "cell", CellNode():
            return markdown.cell_text(node)
        case "calls", CellNode():
            return markdown.calls_text(node.sub_calls)
        case "calls", RunNode():
            return markdown.calls_text(node.setup_calls)
        case "child", SubCallNode():
            return markdown.child_text(node, node.child, slot.depth)
        case "child", RunNode():
            return markdown.child_text(None, node, slot.depth)
    return markdown.orphan_text(cell.events)


def _tags(slot: CellSlot) -> list[str]:
    tags = [f"rlm-{slot.kind}"]
    if slot.depth and slot.kind != "child":
        tags.append("rlm-child")
    node = slot.node
    if is_executable(slot) and isinstance(node, CellNode):
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


def _restore_text(source: str) -> str:
    cell: dict[str, Any] = {
        "id": "restore",
        "cell_type": "code",
        "execution_count": None,
        "outputs": [],
        "metadata": {"jupyter": {"source_hidden": True}, "tags": ["rlm-restore", "hide-input"]},
    }
    return _json_cell(cell, source)


def _json_cell(fields: dict[str, Any], source: str) -> str:
    """Return a cell as JSON; each line of the source has a line of the file."""
    texts = [f'"{name}": {json.dumps(value, ensure_ascii=False)}' for name, value in fields.items()]
    lines = [json.dumps(line, ensure_ascii=False) for line in source.splitlines(keepends=True)]
    joined = ",\n    ".join(lines)
    texts.append(f'"source": [\n    {joined}\n   ]' if lines else '"source": []')
    return "  {\n   " + ",\n   ".join(texts) + "\n  }"
