"""The SHA-256 by which a log identifies a context without holding it.

The hash covers the canonical bytes, which are the bytes that travel to the kernel
(`rlm_kernel.context.value`): UTF-8 for text, so that it equals the hash of the file that the text
was read from; the bytes themselves; Python's own ASCII JSON text for JSON values; a pickle for
anything else, which another version of its library may write differently.

A value is hashed once, by the first thread that writes it or asks for the hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from dataclasses import dataclass
from queue import Queue
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm_kernel.context.value import ContextValue, Form

_MAX_WAITING = 64
"""Chunks (of about 1 MB) that are written and wait to be hashed."""

_WAIT_SECONDS = 0.05
"""How often a thread that waits for another's hash asks whether it should go on."""


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
    """Return a value's hash; take it piece by piece when no thread has done so yet.

    Args:
        value: The value, as it travels.
        file: Also gets the bytes; None only hashes.
        go_on: Asked again and again.

    Raises:
        CancelledError: `go_on` returned False.
        OSError: `file` cannot be written to.
    """
    if file is not None:
        write_value(value, file)
    memo = value.memo
    with memo.changed:
        while memo.taking:
            memo.changed.wait(_WAIT_SECONDS)
            _check(go_on)
        ours = memo.claim()
    if ours:
        taken = _Taken(value)
        try:
            for chunk in value.chunks():
                _check(go_on)
                taken.add(chunk)
        except BaseException:
            memo.give_back()
            raise
        taken.finish()
    found: ContextHash = memo.found.result()
    return found


def write_value(value: ContextValue, file: BinaryIO) -> int:
    """Write a value to a file, hashed meanwhile by a thread that may end later; return its size.

    Raises:
        OSError: The file cannot be written to.
    """
    with value.memo.changed:
        ours = value.memo.claim()
    if not ours:
        size = 0
        for chunk in value.chunks():
            file.write(chunk)
            size += len(chunk)
        return size
    taken = _TakenOnThread(value) if value.is_big else _Taken(value)
    try:
        for chunk in value.chunks():
            taken.add(chunk)
            file.write(chunk)
    except BaseException:
        taken.drop()
        raise
    taken.finish()
    return taken.bytes


async def written_hash(value: ContextValue) -> ContextHash:
    """Wait until a thread has hashed a value, without a thread that waits."""
    found: ContextHash = await asyncio.shield(asyncio.wrap_future(value.memo.found))
    return found


class _Taken:
    """The hash of a value, whose chunks are added one by one.

    Attributes:
        bytes: How many were added.
    """

    def __init__(self, value: ContextValue) -> None:
        self._form = value.form
        self._memo = value.memo
        self._sha256 = hashlib.sha256()
        self.bytes = 0

    def add(self, chunk: bytes | memoryview) -> None:
        """Hash the next chunk."""
        self._sha256.update(chunk)
        self.bytes += len(chunk)

    def finish(self) -> None:
        """Give the hash to those who wait for it."""
        digest = self._sha256.hexdigest()
        found = ContextHash(form=self._form, bytes=self.bytes, sha256=digest)
        self._memo.found.set_result(found)
        self._memo.give_back()

    def drop(self) -> None:
        """Leave the hash to another thread: not all chunks came."""
        self._memo.give_back()


class _TakenOnThread(_Taken):
    """Hashes on a thread, so that a big context is written no slower."""

    def __init__(self, value: ContextValue) -> None:
        super().__init__(value)
        self._waiting: Queue[bytes | memoryview | None] = Queue(_MAX_WAITING)
        self._whole = False
        threading.Thread(target=self._work, name="rlm context hash", daemon=True).start()

    def add(self, chunk: bytes | memoryview) -> None:
        """Have the next chunk hashed."""
        self._waiting.put(chunk)
        self.bytes += len(chunk)

    def finish(self) -> None:
        """Have the hash given to those who wait for it, once it is complete."""
        self._whole = True
        self._waiting.put(None)

    def drop(self) -> None:
        """End the thread, and leave the hash to another one."""
        self._waiting.put(None)

    def _work(self) -> None:
        while (chunk := self._waiting.get()) is not None:
            self._sha256.update(chunk)
        if self._whole:
            super().finish()
        else:
            super().drop()


def _check(go_on: Callable[[], bool]) -> None:
    if not go_on():
        raise asyncio.CancelledError
