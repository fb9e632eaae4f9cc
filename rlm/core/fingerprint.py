"""A context's SHA-256, by which a log says what it was about without holding it.

The hash is that of the value's canonical bytes, which are those that travel to the kernel
(`rlm_kernel.context.value`): of text its UTF-8, so that it is the hash of the file that the text
was read from; of bytes themselves; of JSON values Python's own JSON text, in ASCII; of anything
else its pickle, which another version of its library may write differently.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rlm.events import Note
from rlm_kernel.context.hash import hash_context
from rlm_kernel.context.value import context_value

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rlm.core.recorder import Recorder, Span
    from rlm_kernel.context.value import ContextValue, Form

INLINE_LIMIT = 64 * 1024
"""Canonical bytes up to which a log holds the context itself, when it is text, JSON or bytes."""

_AT_ONCE = 1 << 20
"""Characters or bytes that are hashed before the run begins: 2 ms at most."""

_DEPTH = 100
"""How deeply a small JSON value is nested at most; one that holds itself never ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What identifies a context.

    Attributes:
        form: How it travels: `text`, `bytes`, `json` or `pickle`.
        bytes: How many canonical bytes it has.
        sha256: Their hash, in hexadecimal.
        inline: Whether the context itself is in `value`.
        value: The text, the JSON value, or the bytes in Base64.
    """

    form: Form
    bytes: int
    sha256: str
    inline: bool = False
    value: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Return the entries that `RunStarted.context` gets of it."""
        data = {"form": self.form, "bytes": self.bytes, "sha256": self.sha256}
        return {**data, "value": self.value} if self.inline else data


def quick_fingerprint(value: Any, *, inline: bool = True) -> Fingerprint | None:
    """Return the fingerprint of a value that is hashed in no time; None of a bigger one.

    Args:
        value: Any context.
        inline: Whether a small value is to be in it.
    """
    if type(value) in (str, bytes):
        if len(value) > _AT_ONCE:
            return None
    elif _left(value, INLINE_LIMIT) < 0:
        return None
    travelling = context_value(value)
    found = fingerprint(travelling)
    if not inline or found.bytes > INLINE_LIMIT or found.form == "pickle":
        return found
    shown = b64encode(value).decode() if found.form == "bytes" else value
    return replace(found, inline=True, value=shown)


def fingerprint(value: ContextValue, go_on: Callable[[], bool] = lambda: True) -> Fingerprint:
    """Return the fingerprint of a value; hash it unless that was done.

    Args:
        value: As it travels.
        go_on: Asked before each piece.

    Raises:
        CancelledError: `go_on` said no.
    """
    found = hash_context(value, go_on=go_on)
    return Fingerprint(form=found.form, bytes=found.bytes, sha256=found.sha256)


@asynccontextmanager
async def fingerprint_told(
    recorder: Recorder, *, known: bool
) -> AsyncIterator[Callable[[ContextValue], None]]:
    """Hash a big context on a thread beside the run, and tell it in a note as soon as it is known.

    Yields what is to be called with the context once it is ready to travel. At the end of a run
    that ended well the hash is waited for.

    Args:
        recorder: The run's; its current node is the run.
        known: Whether the beginning of the run tells it already.
    """
    run = recorder.here()
    tasks: list[asyncio.Task[None]] = []
    wanted = True

    def take(value: ContextValue) -> None:
        recorder.give_context(value)
        if not known and not tasks:
            work = _tell(recorder, run, value, lambda: wanted)
            tasks.append(asyncio.get_running_loop().create_task(work))

    try:
        yield take
        if tasks:
            await asyncio.wait(tasks)
    finally:
        wanted = False
        if tasks:
            await asyncio.wait(tasks)


async def _tell(
    recorder: Recorder, run: Span | None, value: ContextValue, go_on: Callable[[], bool]
) -> None:
    try:
        found = await asyncio.to_thread(fingerprint, value, go_on)
    except Exception:  # noqa: BLE001 - what its owner changes meanwhile has no hash, and may run on
        return
    recorder.emit_child(
        run,
        Note,
        kind="context",
        text=f"The context's SHA-256 is {found.sha256}.",
        data=found.to_dict(),
    )


def _left(value: Any, size: int, depth: int = 0) -> int:
    """Return what is left of `size` beside a JSON value; less than 0 when it is no small one."""
    kind = type(value)
    if kind is str:
        return size - len(value)
    if kind in (int, float, bool, type(None)):
        return size - 1
    if kind not in (list, dict) or depth > _DEPTH:
        return -1
    for item in value.items() if kind is dict else value:
        for part in item if kind is dict else (item,):
            size = _left(part, size - 1, depth + 1)
            if size < 0:
                return size
    return size
