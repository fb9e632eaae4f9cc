"""Reads the recorded run in the file that a command names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rlm.errors import ConfigurationError

if TYPE_CHECKING:
    from rlm.trajectory import Trajectory


def recorded(file: str, number: int | None = None) -> Trajectory:
    """Read a recorded run; a log may hold several, which are numbered from 1.

    Raises:
        ConfigurationError: There is no such file or run, or its format cannot be read.
        TrajectoryError: The file is damaged; the message says where.
    """
    from rlm.trajectory import load, load_log

    path = Path(file)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigurationError(f"{file!r} {what}: name a file of a recorded run.")
    try:
        if path.suffix.lower() != ".jsonl":
            if number not in {None, 1}:
                raise ConfigurationError(f"--run {number}: {file!r} holds one run.")
            return load(path)
        runs = load_log(path)
    except OSError as error:
        raise ConfigurationError(f"{file!r} cannot be read: {error.strerror or error}.") from error
    if number is None and len(runs) > 1:
        raise ConfigurationError(f"{file!r} holds {len(runs)} runs: choose one with --run N.")
    if (number or 1) > len(runs):
        raise ConfigurationError(f"--run {number}: {file!r} holds {len(runs)} run(s).")
    return runs[(number or 1) - 1]
