"""Writes a context to a file of this machine, and takes its hash on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlm_kernel.context.hash import hash_context
from rlm_kernel.context.value import ContextValue, PlacedContext
from rlm_kernel.errors import ContextError

if TYPE_CHECKING:
    from pathlib import Path


def write_context(value: ContextValue, path: Path) -> PlacedContext:
    """Write a value to a file of this machine, readable by this user only.

    Raises:
        ContextError: The file system refuses (a full disk, say).
    """
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            hash_context(value, file)
    except OSError as error:
        raise ContextError(
            f"The context could not be written to {path.parent}: {error.strerror}. "
            "Free some space, or set TMPDIR to a folder with more."
        ) from error
    return PlacedContext(
        path=str(path), form=value.form, type_name=value.type_name, bytes=path.stat().st_size
    )
