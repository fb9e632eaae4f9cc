"""The SHA-256 by which a log identifies a context without holding it.

The hash covers the canonical bytes, which are the bytes that travel to the kernel
(`rlm_kernel.context.value`): UTF-8 for text, so that it equals the hash of the file that the text
was read from; the bytes themselves; Python's own ASCII JSON text for JSON values; a pickle for
anything else, which another version of its library may write differently.

A value is hashed once, by the first thread that writes it or asks for the hash.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from dataclasses import dataclass
from queue import Queue
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlm_kernel.context.value import ContextValue, Form

    Buffer = bytes | memoryview

_MAX_WAITING = 32
"""Chunks (of about 1 MB) that wait to be hashed."""

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
    memo = value.memo
    with memo.changed:
        while memo.taking and file is None:
            memo.changed.wait(_WAIT_SECONDS)
            _check(go_on)
        ours = not memo.taking and not memo.found.done()
        if ours:
            memo.taking = True
    if ours:
        try:
            memo.found.set_result(_take(value, file, go_on))
        finally:
            with memo.changed:
                memo.taking = False
                memo.changed.notify_all()
    elif file is not None:
        for chunk in value.chunks():
            _check(go_on)
            file.write(chunk)
    if not memo.found.done():  # the other thread failed, or is not done yet
        return hash_context(value, go_on=go_on)
    found: ContextHash = memo.found.result()
    return found


async def written_hash(value: ContextValue) -> ContextHash:
    """Wait until a thread has written and hashed a value, without a thread that waits."""
    found: ContextHash = await asyncio.shield(asyncio.wrap_future(value.memo.found))
    return found


def _take(value: ContextValue, file: BinaryIO | None, go_on: Callable[[], bool]) -> ContextHash:
    taken = hashlib.sha256()
    size = 0
    with contextlib.ExitStack() as stack:
        # A big context is hashed on a thread, so that it is written no slower
        on_thread = file is not None and value.is_big
        update = stack.enter_context(_on_thread(taken.update)) if on_thread else taken.update
        for chunk in value.chunks():
            _check(go_on)
            update(chunk)
            if file is not None:
                file.write(chunk)
            size += len(chunk)
    return ContextHash(form=value.form, bytes=size, sha256=taken.hexdigest())


@contextlib.contextmanager
def _on_thread(update: Callable[[Buffer], None]) -> Iterator[Callable[[Buffer], None]]:
    """Yield a function that has `update` called on a thread, which is done with all at the end."""
    waiting: Queue[Buffer] = Queue(_MAX_WAITING)

    def work() -> None:
        while chunk := waiting.get():
            update(chunk)

    thread = threading.Thread(target=work, name="rlm context hash", daemon=True)
    thread.start()
    try:
        yield waiting.put
    finally:
        waiting.put(b"")
        thread.join()


def _check(go_on: Callable[[], bool]) -> None:
    if not go_on():
        raise asyncio.CancelledError
