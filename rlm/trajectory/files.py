"""Files that hold a trajectory; the suffix decides which format."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from rlm.errors import ConfigurationError
from rlm.trajectory.codec import TrajectoryError
from rlm.trajectory.fold import Trajectory
from rlm.trajectory.json_text import json_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


def _json(trajectory: Trajectory) -> bytes:
    return json_bytes(trajectory.to_dict()) + b"\n"


def _jsonl(trajectory: Trajectory) -> bytes:
    # Imported here: the logger's format is built on trajectories.
    from rlm.logger.jsonl import log_lines  # noqa: PLC0415

    if trajectory.root is None:
        raise TrajectoryError("There is nothing to save: no run was started.")
    return b"".join(log_lines(trajectory.root))


_WRITERS: dict[str, tuple[Callable[[Trajectory], bytes], str]] = {
    ".json": (_json, "everything, for `rlm.trajectory.load`"),
    ".jsonl": (_jsonl, "the reference's log format"),
}

SUFFIXES = tuple(_WRITERS)
"""The suffixes that `save` knows."""


def save(trajectory: Trajectory, path: str | Path) -> Path:
    """Write a trajectory to a file, whole or not at all.

    Args:
        trajectory: Finished or not.
        path: Where; its suffix decides the format: `.json` (lossless) or `.jsonl` (the
            reference's log). Missing folders are made.

    Returns:
        The path.

    Raises:
        ConfigurationError: The suffix is not one of those.
        TrajectoryError: The format needs a run, and none was started.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        known = ", ".join(f"{suffix} ({what})" for suffix, (_, what) in _WRITERS.items())
        raise ConfigurationError(
            f"Cannot save to {str(path)!r}: the suffix must be one of {known}."
        )
    write, _ = _WRITERS[path.suffix.lower()]
    _replace(path, write(trajectory))
    return path


def load(path: str | Path) -> Trajectory:
    """Read a trajectory from a `.json` file that `save` wrote.

    Args:
        path: The file.

    Raises:
        ConfigurationError: The file's format does not hold everything.
        TrajectoryError: The file is not a trajectory.
    """
    path = Path(path)
    if path.suffix.lower() != ".json":
        raise ConfigurationError(
            f"Cannot load {str(path)!r}: a trajectory is read from the .json file that save() "
            "writes; other formats do not hold everything."
        )
    try:
        return Trajectory.from_dict(json.loads(path.read_bytes()))
    except TrajectoryError as error:
        raise TrajectoryError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise TrajectoryError(f"{path} is not JSON: {error}") from None


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside the old one and put it in its place, so that no reader sees half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
