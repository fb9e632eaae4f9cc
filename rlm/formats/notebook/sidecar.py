"""Files next to a notebook, and new files that never replace an existing one."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rlm_kernel.context.hash import hash_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from rlm.redaction import Redaction
    from rlm_kernel.context.value import ContextValue

CONTEXT_SUFFIXES = {"text": ".txt", "json": ".json", "bytes": ".bin"}
"""By form of the context. A pickle has none: it is code, and no log holds one."""


def side_folder(notebook: Path) -> Path:
    """Return the folder of the files that belong to a notebook."""
    return notebook.with_suffix(".rlm")


def may_be_kept(value: ContextValue, redaction: Redaction) -> bool:
    """Return whether redaction leaves a context whole: a part of it would be another context."""
    if value.form == "bytes":
        return redaction.keeps(value.value)
    return _is_kept(value.value, redaction.text)


def write_context(value: ContextValue, notebook: Path) -> dict[str, Any]:
    """Write a context, in a form of `CONTEXT_SUFFIXES`, to a file next to its notebook.

    The file has the bytes that travel to the kernel.

    Returns:
        `path` (relative to the notebook), `form` and `sha256`.

    Raises:
        OSError: The file cannot be written.
    """
    folder = side_folder(notebook)
    folder.mkdir(exist_ok=True)
    path = folder / f"context{CONTEXT_SUFFIXES[value.form]}"
    with _temporary(path) as temporary:
        with temporary.open("xb") as file:
            written = hash_context(value, file)
        temporary.replace(path)
    return {
        "path": f"{folder.name}/{path.name}",
        "form": value.form,
        "sha256": written.sha256,
    }


def context_file(about: Mapping[str, Any], log: Path) -> Path | None:
    """Return the file next to a log that has its context; None when there is none.

    Only the context's form and size in the log (`about`) choose the file.
    """
    suffix = CONTEXT_SUFFIXES.get(str(about.get("form")))
    if suffix is None or "value" in about:
        return None
    file = side_folder(log) / f"context{suffix}"
    return file if file.is_file() and file.stat().st_size == about.get("bytes") else None


def new_file(path: Path, content: Iterable[bytes]) -> Path:
    """Write a new file, whole or not at all.

    Args:
        path: ``{name}_{id}.{suffix}`` in an existing folder. If there is such a file, the new one
            gets another id, which the returned path has.
        content: Its pieces.

    Raises:
        OSError: It cannot be written.
    """
    with _temporary(path) as temporary:
        with temporary.open("xb") as file:
            file.writelines(content)
        while not _placed(temporary, path):
            name = path.stem.rpartition("_")[0] or path.stem
            path = path.with_name(f"{name}_{uuid.uuid4().hex[:8]}{path.suffix}")
    return path


def _placed(temporary: Path, path: Path) -> bool:
    """Give a file its name; return whether the name was free."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # A file system without links.
        if path.exists():
            return False
        temporary.replace(path)
    return True


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _is_kept(value: Any, redact: Callable[[str], str]) -> bool:
    if isinstance(value, str):
        return redact(value) == value
    if isinstance(value, dict):
        return all(_is_kept(part, redact) for item in value.items() for part in item)
    return not isinstance(value, list) or all(_is_kept(item, redact) for item in value)
