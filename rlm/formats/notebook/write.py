"""A whole trajectory as a notebook."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rlm.formats.notebook.restore_cell import restore_cell
from rlm.formats.notebook.writer import NotebookWriter
from rlm.trajectory import Trajectory

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger("rlm")


def notebook_bytes(trajectory: Trajectory, path: Path | None = None) -> bytes:
    """Return a trajectory as a notebook's file (nbformat 4.5): valid, harmless, nothing lost.

    `path` is where the file will be; without it the notebook has no cell that restores the REPL.
    """
    restore = None if path is None else restoring(trajectory, path)
    again = Trajectory()
    writer = NotebookWriter(again)
    for event in trajectory.events:
        again.add(event)
        writer.take(event)
    return b"".join(writer.content(restore=restore))


def restoring(trajectory: Trajectory, path: Path) -> str | None:
    """Return the source of the cell that restores a run's REPL; None when that is impossible.

    Raises:
        OSError: A file that the cell needs next to the notebook cannot be written.
    """
    if trajectory.root is None:
        return None
    try:
        return restore_cell(trajectory, path)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - the record is worth more than that cell
        _log.warning("A notebook cannot be made to run again: %s", error, exc_info=error)
        return None
