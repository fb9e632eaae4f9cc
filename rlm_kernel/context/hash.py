"""The SHA-256 by which a log identifies a context without holding it.

The hash covers the canonical bytes, which are the bytes that travel to the kernel
(`rlm_kernel.context.value`): UTF-8 for text, so that it equals the hash of the file that the text
was read from; the bytes themselves; Python's own ASCII JSON text for JSON values; a pickle for
anything else, which another version of its library may write differently.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm_kernel.context.value import ContextValue, Form


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextHash:
    """What identifies a context.

    Attributes:
        form: How it travels: `text`, `bytes`, `json` or `pickle`.
        bytes: The number of canonical bytes.
        sha256: Their hash, in hexadecimal.
    """

    form: Form
    bytes: int
    sha256: str


def hash_context(
    value: ContextValue,
    file: BinaryIO | None = None,
    *,
    go_on: Callable[[], bool] = lambda: True,
) -> ContextHash:
    """Hash a value piece by piece, without a copy of it.

    Args:
        value: The value, as it travels.
        file: Also gets the bytes; None only hashes.
        go_on: Asked before each piece.

    Raises:
        CancelledError: `go_on` returned False.
        OSError: `file` cannot be written to.
    """
    hashing = _HashingWriter(file, go_on)
    value.write(cast("BinaryIO", hashing))
    return ContextHash(form=value.form, bytes=hashing.bytes, sha256=hashing.hash.hexdigest())


class _HashingWriter:
    """A writable file that hashes what passes through."""

    def __init__(self, file: BinaryIO | None, go_on: Callable[[], bool]) -> None:
        self.hash = hashlib.sha256()
        self.bytes = 0
        self._file = file
        self._go_on = go_on

    def write(self, data: bytes) -> None:
        if not self._go_on():
            raise asyncio.CancelledError
        self.hash.update(data)
        self.bytes += len(data)
        if self._file is not None:
            self._file.write(data)
