"""`--save`: refused before the run when it cannot work, and never the loss of a paid answer."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rlm.errors import ConfigurationError

if TYPE_CHECKING:
    from rlm.trajectory import Trajectory


def refuse_unwritable(path: str) -> None:
    """Refuse a path that a run could not be written to.

    Args:
        path: As the user gave it.

    Raises:
        ConfigurationError: Its suffix is none that we write, or there is no such folder to
            write to.
    """
    from rlm.trajectory import SUFFIXES

    target = Path(path).expanduser()
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(f"--save {path}: the suffix must be one of {', '.join(SUFFIXES)}.")
    if target.is_dir():
        raise ConfigurationError(f"--save {path}: that is a folder; name a file in it.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"--save {path}: nothing can be written there: {error.strerror}."
        ) from error


def save(trajectory: Trajectory, path: str) -> None:
    """Write a run to a file; what goes wrong is said on stderr, and the answer is still there.

    Args:
        trajectory: The run's.
        path: As the user gave it.
    """
    if trajectory.root is None:
        return
    try:
        trajectory.save(Path(path).expanduser())
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is paid for
        sys.stderr.write(f"rlm: The run could not be saved to {path}: {error}\n")
