"""Copies the context that stands beside a log when a command writes the run to another file."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from rlm.trajectory import format_of

if TYPE_CHECKING:
    from rlm.trajectory import Trajectory

_SUFFIXES = (".ipynb", ".json")


def finds_its_context(path: str | Path) -> bool:
    """Whether a run in a file of this suffix finds its context beside it when it is replayed."""
    found = format_of(path)
    return found is not None and found.suffix in _SUFFIXES


def carry_context(trajectory: Trajectory, source: str | Path, target: str | Path) -> str | None:
    """Copy a run's context from beside its log to beside the file that will be written.

    Args:
        trajectory: The run.
        source: A log of the run, or of the run that was replayed.
        target: The file that will be written.

    Returns:
        The copy; None where there is nothing to copy, or it is there already.

    Raises:
        OSError: The copy cannot be written.
    """
    from rlm.formats.notebook.sidecar import context_file, side_folder

    about = {} if trajectory.root is None else trajectory.root.context
    file = context_file(about, Path(source)) if finds_its_context(target) else None
    if file is None:
        return None
    copy = side_folder(Path(target)) / file.name
    if copy.exists() and copy.samefile(file):
        return None
    with file.open("rb") as content:
        # The log and the file beside it may be anybody's: the file may be a link to a private one.
        if hashlib.file_digest(content, "sha256").hexdigest() != about.get("sha256"):
            return None
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)
    return str(copy)
