"""Reads a file or a folder as a context, on the host or in a container."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.errors import ContextError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMES = 20
"""Names of files or columns that a description lists at most."""

NAME_LENGTH = 40
"""Characters that are shown of such a name."""

_MARK = "\ufeff"
"""The byte order mark that some editors put before UTF-8 text."""

_LEFT_OUT_FOLDERS = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", ".tox", ".mypy_cache"}
)


def read_path(path: Path) -> tuple[Any, str]:
    """Return a path's context, and a remark on it for descriptions.

    A file gives its text, or its bytes when it is not UTF-8. A folder gives a dictionary of
    relative path to text, without version control, caches and files that are not text.

    Raises:
        ContextError: There is no such file or folder, or it cannot be read.
    """
    data = _content(path)
    if data is None:
        return _read_folder(path)
    try:
        return data.decode(), f", read from the file {quoted(path.name)}"
    except UnicodeDecodeError:
        return data, f", read from the file {quoted(path.name)}, which is not UTF-8 text"


def form_of(about: Mapping[str, Any]) -> str:
    """Return how a recorded run's context travelled; ``""`` when its log does not say.

    Args:
        about: The log's description of the context: `form`, or only `type` of an early killed run.
    """
    by_type = {"str": "text", "bytes": "bytes", "list": "json", "dict": "json"}
    return str(about.get("form") or by_type.get(str(about.get("type")), ""))


def readings(path: Path, form: str) -> Iterator[Any]:
    """Yield the contexts that a recorded run may have had from a path, the likely ones first.

    Only the hash tells which it was: text may have been read with its line ends and its byte order
    mark, as `read_path` does, or without them, as `open(path).read()` does.

    Args:
        path: A file, or a folder.
        form: How the recorded context travelled: ``"text"``, ``"bytes"`` or ``"json"``. For any
            other form, and for a file that does not have this form, `read_path` decides.

    Raises:
        ContextError: There is no such file or folder, or it cannot be read.
    """
    data = _content(path)
    if data is None or form not in {"text", "bytes", "json"}:
        yield read_path(path)[0]
        return
    if form == "bytes":
        yield data
        return
    try:
        value = json.loads(data) if form == "json" else data.decode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        yield read_path(path)[0]
        return
    yield value
    if form == "text":
        yield from _without_line_ends_or_mark(value)


def _without_line_ends_or_mark(text: str) -> Iterator[str]:
    if "\r" in text:
        yield text.replace("\r\n", "\n").replace("\r", "\n")
    if text.startswith(_MARK):
        yield text[1:]
        yield from _without_line_ends_or_mark(text[1:])


def _content(path: Path) -> bytes | None:
    """Return a file's bytes; None for a folder."""
    try:
        return None if path.is_dir() else path.read_bytes()
    except FileNotFoundError as error:
        raise ContextError(f"The context {str(path)!r} does not exist.") from error
    except OSError as error:
        raise ContextError(f"The context {str(path)!r} cannot be read: {error}.") from error


def _read_folder(folder: Path) -> tuple[dict[str, str], str]:
    texts: dict[str, str] = {}
    left_out: list[str] = []
    for root, folders, files in os.walk(folder):
        here = Path(root)
        left_out += [
            f"{(here / name).relative_to(folder).as_posix()}/"
            for name in folders
            if name in _LEFT_OUT_FOLDERS
        ]
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT_FOLDERS)
        for name in sorted(files):
            path = here / name
            relative = path.relative_to(folder).as_posix()
            try:
                if not path.is_file():  # a socket or a pipe would block us for ever
                    raise OSError  # noqa: TRY301 - left out like any unreadable file
                texts[relative] = path.read_bytes().decode()
            except (UnicodeDecodeError, OSError):
                left_out.append(relative)
    remark = f", the text files of the folder {quoted(folder.name)} by relative path"
    if left_out:
        named = ", ".join(map(quoted, left_out[:NAMES])) + ", ..." * (len(left_out) > NAMES)
        remark += f" ({len(left_out):,} left out: {named})"
    return texts, remark


def quoted(name: Any) -> str:
    """Return a name from the context, quoted as data and cut when it is long."""
    if not isinstance(name, str):
        return cut(repr(name))
    return repr(name) if len(name) <= NAME_LENGTH else f"{name[:NAME_LENGTH]!r}..."


def cut(name: object, length: int = NAME_LENGTH) -> str:
    """Return a name's text, cut when it is long."""
    text = str(name)
    return text if len(text) <= length else f"{text[:length]}..."
