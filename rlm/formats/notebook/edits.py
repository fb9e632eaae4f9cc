"""Finds the edited code cells of a run's notebook: compares each with the executed code.

A cell's id and its metadata name its node. nbstripout renumbers the ids, nb-clean drops the cells'
metadata, nbformat 4.4 has no ids: where both are gone, cells are matched by order and source.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from rlm.formats.notebook.cells import Layout, is_executable, shown_code
from rlm.trajectory import CellNode, Trajectory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm.formats.notebook.cells import CellSlot
    from rlm.formats.notebook.notebook_file import NotebookCell


_MOST_COMPARED = 2_000
"""How many cells are matched by order and source: the time grows faster than their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedCell:
    """A code cell whose source somebody changed; the trajectory has the executed code.

    Attributes:
        id: The cell node's id in the trajectory.
        position: 1 for the notebook's first cell.
        code: Its source now.
    """

    id: str
    position: int
    code: str


def edited_cells(cells: Sequence[NotebookCell], trajectory: Trajectory) -> tuple[EditedCell, ...]:
    """Return those of a notebook's cells that were edited, in the order of the run."""
    codes = [cell for cell in cells if cell.is_code and not cell.is_restore]
    slots = _code_slots(trajectory)
    edited = []
    for slot, cell in _matched(slots, codes):
        if _comparable(cell.source) != _recorded_code(slot):
            assert slot.node is not None
            identity = slot.node.started.id
            edited.append(EditedCell(id=identity, position=cell.position, code=cell.source))
    return tuple(edited)


def _code_slots(trajectory: Trajectory) -> list[CellSlot]:
    """Return the slots of the cells that a writer makes executable."""
    again = Trajectory()
    layout = Layout(again)
    for event in trajectory.events:
        again.add(event)
        layout.place(event)
    return [slot for slot in layout if is_executable(slot)]


def _matched(
    slots: list[CellSlot], cells: list[NotebookCell]
) -> list[tuple[CellSlot, NotebookCell]]:
    """Return the slots whose cells are still there, each with its cell."""
    # Of copies the first counts, unless another one has the id.
    by_id = {cell.id: cell for cell in reversed(cells) if cell.id}
    by_node = {cell.node: cell for cell in reversed(cells) if cell.node}
    found = []
    for slot in slots:
        cell = by_id.get(slot.cell_id) or by_node.get(slot.node_id)
        if cell is not None:
            found.append((slot, cell))
    return found or _matched_by_order(slots, cells)


def _matched_by_order(
    slots: list[CellSlot], cells: list[NotebookCell]
) -> list[tuple[CellSlot, NotebookCell]]:
    """Match cells without ids: equal sources first, then equally many cells between those."""
    if max(len(slots), len(cells)) > _MOST_COMPARED:
        return []
    recorded = [_recorded_code(slot) for slot in slots]
    now = [_comparable(cell.source) for cell in cells]
    matcher = SequenceMatcher(None, recorded, now, autojunk=True)
    found: list[tuple[CellSlot, NotebookCell]] = []
    for _, start, end, first, last in matcher.get_opcodes():
        if end - start == last - first:
            found += zip(slots[start:end], cells[first:last], strict=True)
    return found


def _recorded_code(slot: CellSlot) -> str:
    assert isinstance(slot.node, CellNode)
    return _comparable(shown_code(slot.node.started.code))


def _comparable(source: str) -> str:
    """Return a source without what front ends change: line ends, and blank lines at the end."""
    return source.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
