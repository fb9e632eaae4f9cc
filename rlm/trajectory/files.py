"""Saves and loads trajectories; a file's suffix decides the format."""

from __future__ import annotations

import importlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.errors import ConfigurationError
from rlm.trajectory.codec import TrajectoryError
from rlm.trajectory.fold import Trajectory, redacted
from rlm.trajectory.json_text import json_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A file format, by its suffix.

    Attributes:
        suffix: The end of the file's name, in lower case, such as ``.trace.json``.
        says: What such a file holds, for error messages.
        writer: `module:function` of `(trajectory, path) -> bytes`, imported at its first use. It
            may write files next to `path`. None: we cannot write the format.
        reader: `module:function` of `(content, path) -> Trajectory`. None: we cannot read it.
    """

    suffix: str
    says: str
    writer: str | None = None
    reader: str | None = None


FORMATS = (
    Format(
        suffix=".json",
        says="every event",
        writer="rlm.trajectory.files:json_content",
        reader="rlm.trajectory.files:from_json",
    ),
    Format(
        suffix=".jsonl",
        says="the reference's log",
        writer="rlm.formats.jsonl.write:jsonl_content",
        reader="rlm.formats.jsonl.read:from_jsonl",
    ),
    Format(
        suffix=".html",
        says="a page to read",
        writer="rlm.render.page:html_content",
    ),
    Format(
        suffix=".trace.json",
        says="a timeline for Perfetto and speedscope",
        writer="rlm.formats.chrome_trace:trace_content",
    ),
    Format(
        suffix=".ipynb",
        says="a notebook with every event",
        writer="rlm.formats.notebook.write:notebook_bytes",
        reader="rlm.formats.notebook.read:load_notebook",
    ),
)
"""Every format, one row each."""

_LOG_READER = "rlm.formats.jsonl.read:all_from_jsonl"
"""Reads a `.jsonl` log of several runs."""

SUFFIXES = tuple(each.suffix for each in FORMATS if each.writer)
"""The suffixes that `save` takes."""

LOADABLE = tuple(each.suffix for each in FORMATS if each.reader)
"""The suffixes that `load` takes."""


def format_of(path: str | Path) -> Format | None:
    """Return the format of a file by its name, or None; the longest suffix that fits decides.

    Args:
        path: A file, which need not exist.
    """
    name = Path(path).name.lower()
    fitting = [each for each in FORMATS if name.endswith(each.suffix)]
    return max(fitting, key=lambda each: len(each.suffix), default=None)


def save(
    trajectory: Trajectory, path: str | Path, *, redact: Callable[[str], str] | None = None
) -> Path:
    """Write a trajectory to a file, whole or not at all.

    Args:
        trajectory: Finished or not.
        path: The file; its suffix, one of `SUFFIXES`, decides the format. Missing folders are made.
        redact: Called with each text of the record; returns the text to write. Keys and headers
            of the configuration are never written.

    Returns:
        The path.

    Raises:
        ConfigurationError: The suffix is not one of those.
        TrajectoryError: The format needs a run, and the trajectory has none.
    """
    path = Path(path)
    found = format_of(path)
    if found is None or found.writer is None:
        raise ConfigurationError(
            f"Cannot save to {str(path)!r}: the suffix must be one of {_known('writer')}."
        )
    public = redacted(trajectory, redact)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, _function(found.writer)(public, path))
    return path


def load(path: str | Path) -> Trajectory:
    """Read a trajectory from a file.

    Args:
        path: The file; its suffix, one of `LOADABLE`, decides the format.

    Raises:
        ConfigurationError: The suffix is not one of those.
        TrajectoryError: The file holds no valid trajectory; the message says what is wrong.
        OSError: The file cannot be read.
    """
    path = Path(path)
    found = format_of(path)
    if found is None or found.reader is None:
        raise ConfigurationError(
            f"Cannot load {str(path)!r}: the suffix must be one of {_known('reader')}."
        )
    try:
        trajectory = _function(found.reader)(path.read_bytes(), path)
    except TrajectoryError as error:
        raise TrajectoryError(f"{path}: {error}") from None
    assert isinstance(trajectory, Trajectory)
    return trajectory


def load_log(path: str | Path) -> list[Trajectory]:
    """Read a `.jsonl` log of any number of runs, such as a persistent `RLM` writes.

    Args:
        path: The file, from our logger or the reference's.

    Returns:
        A trajectory for each root run, in the order of their starts.

    Raises:
        TrajectoryError: The file is no such log; the message says which line is wrong.
        OSError: The file cannot be read.
    """
    try:
        found: list[Trajectory] = _function(_LOG_READER)(Path(path).read_bytes())
    except TrajectoryError as error:
        raise TrajectoryError(f"{path}: {error}") from None
    return found


def replace_file(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a temporary file, then move it over the old one, so that no reader sees half a file."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("xb") as file:
            file.writelines((content,) if isinstance(content, bytes) else content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def json_content(trajectory: Trajectory, _path: Path) -> bytes:
    """Return every event as one JSON object."""
    return json_bytes(trajectory.to_dict()) + b"\n"


def from_json(content: bytes, _path: Path) -> Trajectory:
    """Read what `json_content` wrote."""
    try:
        return Trajectory.from_dict(json.loads(content))
    except TrajectoryError:
        raise
    except (ValueError, RecursionError) as error:
        raise TrajectoryError(f"This is not JSON: {error}") from None


def _known(what: str) -> str:
    return ", ".join(f"{each.suffix} ({each.says})" for each in FORMATS if getattr(each, what))


def _function(name: str) -> Callable[..., Any]:
    """Import the function that a row of the table names."""
    module, _, attribute = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found
