"""Copies the context file next to a log when a command writes the run to another file."""

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
    """Whether a replay of a file with this suffix looks for the context next to it."""
    found = format_of(path)
    return found is not None and found.suffix in _SUFFIXES


def carry_context(trajectory: Trajectory, source: str | Path, target: str | Path) -> str | None:
    """Copy the context file next to `source`, a log of the run or the log it replays.

    Returns the copy's path, or None when there is nothing to copy, or the copy is there already.
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
        # The log may be a stranger's, and the file next to it a link to a private one.
        if hashlib.file_digest(content, "sha256").hexdigest() != about.get("sha256"):
            return None
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)
    return str(copy)
