"""Writes a context to a file of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlm_kernel.context.value import ContextValue, PlacedContext
from rlm_kernel.errors import ContextError

if TYPE_CHECKING:
    from pathlib import Path


def write_context(value: ContextValue, path: Path) -> PlacedContext:
    """Write a value to a new file that only this user can read.

    Raises:
        ContextError: The file system refuses (a full disk, say).
    """
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            value.write(file)
            size = file.tell()
    except OSError as error:
        raise ContextError(
            f"The context could not be written to {path.parent}: {error.strerror}. "
            "Free some space, or set TMPDIR to a folder with more."
        ) from error
    return PlacedContext(path=str(path), form=value.form, type_name=value.type_name, bytes=size)
