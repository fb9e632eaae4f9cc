"""Reads a run's notebook: the trajectory that it was written from, and the edits made since."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm.formats.notebook.edits import EditedCell, edited_cells
from rlm.formats.notebook.notebook_file import IncompleteNotebookError, read_file
from rlm.formats.notebook.record import read_record
from rlm.trajectory import Trajectory

if TYPE_CHECKING:
    from pathlib import Path

_SAVED_BY_NOW = 0.5
"""Seconds after which a file that ends early, and did not change, counts as damaged."""

_LONGEST_SAVE = 10.0
_PAUSE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """A run's notebook.

    Attributes:
        trajectory: The run as it was recorded, whatever happened to the cells since.
        edited: The code cells that were edited since, in order.
        about: Our metadata of the notebook, without the record.
    """

    trajectory: Trajectory
    edited: tuple[EditedCell, ...] = ()
    about: dict[str, Any]


def read_notebook(content: bytes) -> Notebook:
    """Read a run's notebook, whichever program saved it last.

    The record is in the notebook's metadata. Of the cells only the sources of code cells are read,
    to find edits: cells may be moved, copied, deleted, added and run again.

    Raises:
        TrajectoryError: It is truncated, no notebook, none of ours or of another format; or its
            record is missing or was changed. The message says what probably did that.
    """
    file = read_file(content)
    trajectory = Trajectory.from_events(read_record(file.metadata))
    record = ("events", "count", "sha256")
    return Notebook(
        trajectory=trajectory,
        edited=edited_cells(file.cells, trajectory),
        about={name: value for name, value in file.metadata.items() if name not in record},
    )


def read_notebook_file(path: Path, content: bytes | None = None) -> Notebook:
    """Read a run's notebook from its file; one that ends early is read again for a moment.

    jupyter_server empties the file before it saves, so a reader may see half of it. `content` is
    what was read already.

    Raises:
        TrajectoryError: As `read_notebook`.
        OSError: The file cannot be read.
    """
    began = changed = time.monotonic()
    content = path.read_bytes() if content is None else content
    while True:
        try:
            return read_notebook(content)
        except IncompleteNotebookError:
            now = time.monotonic()
            if now > changed + _SAVED_BY_NOW or now > began + _LONGEST_SAVE:
                raise
        time.sleep(_PAUSE)
        again = path.read_bytes()
        if again != content:
            content, changed = again, time.monotonic()


def load_notebook(content: bytes, path: Path) -> Trajectory:
    """Return the trajectory in a notebook's file."""
    return read_notebook_file(path, content).trajectory
