"""The SHA-256 by which a log identifies a context without holding it.

The hash covers the canonical bytes, which are the bytes that travel to the kernel
(`rlm_kernel.context.value`): UTF-8 for text, so that it equals the hash of the file that the text
was read from; the bytes themselves; Python's own ASCII JSON text for JSON values; a pickle for
anything else, which another version of its library may write differently.

A value is hashed once, by the first thread that asks, separately from the writing for the kernel:
hashing the chunks as they are written made the kernel wait, and kept long texts in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm_kernel.context.value import ContextValue, Form

_WAIT_SECONDS = 0.05
"""How often a thread that waits for another thread's hash calls `go_on`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextHash:
    """What identifies a context.

    Attributes:
        form: How the context travels: `text`, `bytes`, `json` or `pickle`.
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
    """Return a value's hash, computed chunk by chunk unless a thread has done so already.

    Args:
        value: The value, as it travels.
        file: Also gets the bytes; None only hashes.
        go_on: Called between chunks; False raises `CancelledError`.
    """
    memo = value.memo
    with memo.changed:
        while memo.taking and file is None:
            memo.changed.wait(_WAIT_SECONDS)
            _check(go_on)
        ours = memo.found is None and not memo.taking
        memo.taking = memo.taking or ours
    if ours:
        try:
            memo.found = _take(value, file, go_on)
        finally:
            with memo.changed:
                memo.taking = False
                memo.changed.notify_all()
    elif file is not None:
        value.write(file)
    found: ContextHash | None = memo.found
    # None: another thread is hashing, or its hashing failed
    return hash_context(value, go_on=go_on) if found is None else found


def _take(value: ContextValue, file: BinaryIO | None, go_on: Callable[[], bool]) -> ContextHash:
    taken = hashlib.sha256()
    size = 0
    for chunk in value.chunks():
        _check(go_on)
        taken.update(chunk)
        size += len(chunk)
        if file is not None:
            file.write(chunk)
    return ContextHash(form=value.form, bytes=size, sha256=taken.hexdigest())


def _check(go_on: Callable[[], bool]) -> None:
    if not go_on():
        raise asyncio.CancelledError
