"""A notebook back to the trajectory that it was written from, or an error that names the cell."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rlm.events import CellFinished, CellOutput
from rlm.formats.notebook.cells import Layout
from rlm.formats.notebook.outputs import outputs_digest, recorded_output
from rlm.formats.notebook.pages import read_file
from rlm.formats.notebook.record import Record
from rlm.formats.notebook.writer import code_shown
from rlm.trajectory import CellNode, Trajectory, TrajectoryError

if TYPE_CHECKING:
    from pathlib import Path

    from rlm.events import Event
    from rlm.formats.notebook.pages import File, Page

_log = logging.getLogger("rlm")


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedCell:
    """A code cell whose source somebody changed; the trajectory has what was executed.

    Attributes:
        id: The cell node's id in the trajectory.
        position: Where it stands: 1 for the notebook's first cell.
        code: What stands there now.
    """

    id: str
    position: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """A run's notebook.

    Attributes:
        trajectory: The run as it was recorded.
        edited: The code cells that were changed since, in order.
        run_again: Positions of the cells that were run again, or cleared, and saved so: their
            outputs in the trajectory are those that they show now.
        about: Our metadata of the notebook.
    """

    trajectory: Trajectory
    edited: tuple[EditedCell, ...] = ()
    run_again: tuple[int, ...] = ()
    about: dict[str, Any]


def load_notebook(content: bytes, path: Path) -> Trajectory:
    """Return the trajectory in a notebook's file.

    Args:
        content: The file.
        path: Its name, for what is said about it.

    Raises:
        TrajectoryError: As `read_notebook`.
    """
    notebook = read_notebook(content)
    if notebook.run_again:
        _log.warning(
            "%s: cells %s were run again or cleared since the run, and saved: their recorded "
            "outputs are gone, and what they show now is taken for them.",
            path,
            ", ".join(map(str, notebook.run_again)),
        )
    return notebook.trajectory


def read_notebook(content: bytes) -> Notebook:
    """Read a run's notebook, whichever program saved it last.

    The record is in the metadata; of what a person sees, only the outputs of code cells belong to
    it. Text cells, and cells that somebody added, are not looked at.

    Args:
        content: The file.

    Raises:
        TrajectoryError: It is truncated, no notebook, none of ours or of another schema; cells are
            missing, copied or reordered; the outputs of a cell were changed by hand. The message
            names the cell.
    """
    file = read_file(content)
    changed = {page.position for page in file.pages if _outputs_changed(page)}
    record = Record(file, changed)
    trajectory = Trajectory()
    layout = Layout(trajectory)
    homes: list[str] = []
    for event in record.events:
        trajectory.add(event)
        homes.append(layout.place(event).key)
    _check_order(file, record, homes, [home.key for home in layout])
    edited = tuple(_edited(file, record, trajectory))
    if changed:
        events = _with_outputs_of_now(record, changed)
        trajectory = Trajectory.from_events(events)
    return Notebook(
        trajectory=trajectory,
        edited=edited,
        run_again=tuple(sorted(changed)),
        about=file.record,
    )


def _outputs_changed(page: Page) -> bool:
    """Whether a code cell's outputs are not those that we wrote."""
    digest = page.record.get("outputs")
    if digest is None:
        return False
    try:
        return bool(outputs_digest(page.outputs) != digest)
    except (AttributeError, TypeError, ValueError, RecursionError):
        raise TrajectoryError(f"{page.name}: its outputs cannot be read.") from None


def _check_order(file: File, record: Record, homes: list[str], order: list[str]) -> None:
    """Refuse cells that do not stand where the tree has them: their ids tell."""
    for number, (page, home) in enumerate(zip(record.pages, homes, strict=True)):
        if page.id != home:
            raise TrajectoryError(
                f"{page.name}: event {number} belongs into the cell {home}. Was the notebook "
                "changed by hand?"
            )
    found = [page for page in file.pages if page.record.get("events")]
    for page, expected in zip(found, order, strict=False):
        if page.id != expected:
            raise TrajectoryError(
                f"{page.name} stands where the cell {expected} belongs. Were cells moved? Put "
                "them back in order."
            )


def _edited(file: File, record: Record, trajectory: Trajectory) -> list[EditedCell]:
    pages = {page.id: page for page in file.pages if page.cell_type == "code"}
    edited = []
    for event, page in zip(record.events, record.pages, strict=True):
        node = trajectory.node(event.id) if event.type == "cell_started" else None
        if isinstance(node, CellNode) and page.id in pages and node.started is event:
            code = page.source
            if code != code_shown(node):
                edited.append(EditedCell(id=event.id, position=page.position, code=code))
    return edited


def _with_outputs_of_now(record: Record, changed: set[int]) -> list[Event]:
    """Return the events with the outputs that the changed cells show now.

    Raises:
        TrajectoryError: A cell was not run again: its outputs were changed by hand.
    """
    for event, page in zip(record.events, record.pages, strict=True):
        if page.position in changed and isinstance(event, CellFinished):
            same_count = page.execution_count == event.execution_count
            if same_count and page.outputs and page.execution_count is not None:
                raise TrajectoryError(
                    f"{page.name}: its outputs are not those of the run, and it was not run "
                    "again: they were changed by hand."
                )
    events: list[Event] = []
    told: set[int] = set()
    for event, page in zip(record.events, record.pages, strict=True):
        if page.position not in changed or not isinstance(event, CellOutput):
            events.append(event)
        elif page.position not in told:
            told.add(page.position)
            events += [
                replace(event, id=event.id if not index else f"{event.id}.{index}", output=output)
                for index, output in enumerate(_outputs_of_now(page))
            ]
    return events


def _outputs_of_now(page: Page) -> list[dict[str, Any]]:
    try:
        return [recorded_output(page.outputs, [index]) for index in range(len(page.outputs))]
    except ValueError:
        raise TrajectoryError(f"{page.name}: its outputs cannot be read.") from None
