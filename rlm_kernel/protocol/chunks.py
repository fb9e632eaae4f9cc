"""Splits kernels' ZMQ messages into chunks for the byte stream, and joins them again.

A multipart message is serialised as `!H` number of parts, `!I` each part's length, then the parts.
It travels in chunks of at most `CHUNK_BYTES`, so that one kernel's long message cannot delay the
others. A chunk is one `MESSAGE` frame: `!BB` channel and flags, then bytes. Chunks of different
channels and kernels may mix; those of one channel keep their order.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from rlm_kernel.errors import FrameError
from rlm_kernel.protocol import frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHUNK_BYTES = 1 << 18
"""Bytes of a message that one frame carries."""

MAX_MESSAGE = 256 << 20
"""Bytes of a message, all parts together."""

MAX_UNFINISHED = 1 << 30
"""Bytes of unfinished messages that one end holds for the other."""

MAX_PARTS = 4096

_CHUNK_HEADER = struct.Struct("!BB")
_COUNT = struct.Struct("!H")
_FIRST, _LAST = 1, 2


class Channel(IntEnum):
    """A kernel's channels, by their port numbers in our connection files."""

    SHELL = 1
    IOPUB = 2
    STDIN = 3
    CONTROL = 4
    HB = 5


class KernelMessage(NamedTuple):
    """A whole message: the kernel's number, its channel, and the ZMQ parts."""

    kernel: int
    channel: Channel
    parts: list[bytes]


def split(kernel: int, channel: Channel, parts: Sequence[bytes]) -> Iterator[bytes]:
    """Yield a message's frames; one over `MAX_MESSAGE` or `MAX_PARTS` is a `FrameError`."""
    size = sum(map(len, parts))
    if len(parts) > MAX_PARTS or size > MAX_MESSAGE:
        raise FrameError(
            f"A message of {size:,} bytes in {len(parts):,} parts is over what is allowed: "
            f"{MAX_MESSAGE:,} bytes in {MAX_PARTS:,} parts."
        )
    lengths = struct.pack(f"!{len(parts)}I", *map(len, parts))
    return _split(kernel, channel, b"".join((_COUNT.pack(len(parts)), lengths, *parts)))


def _split(kernel: int, channel: Channel, whole: bytes) -> Iterator[bytes]:
    view = memoryview(whole)
    for start in range(0, len(whole), CHUNK_BYTES):
        flags = (_FIRST if start == 0 else 0) | (_LAST if start + CHUNK_BYTES >= len(whole) else 0)
        header = _CHUNK_HEADER.pack(channel, flags)
        payload = b"".join((header, view[start : start + CHUNK_BYTES]))
        yield frames.encode(frames.MESSAGE, kernel, payload)


class Assembler:
    """Joins chunks into messages; bounds everything that the other end sends."""

    def __init__(self) -> None:
        self._unfinished: dict[tuple[int, Channel], bytearray] = {}
        self._held = 0

    def take(self, frame: frames.Frame) -> KernelMessage | None:
        """Take a chunk and return the message that it completes.

        Raises:
            FrameError: The chunk is malformed, or over what is allowed.
        """
        payload = frame.payload
        if len(payload) < _CHUNK_HEADER.size:
            raise FrameError("A message's chunk has no header.")
        number, flags = _CHUNK_HEADER.unpack_from(payload)
        try:
            channel = Channel(number)
        except ValueError:
            raise FrameError(f"A message is for the unknown channel {number}.") from None
        if flags == _FIRST | _LAST:
            self._require((frame.kernel, channel), begun=False)
            return KernelMessage(frame.kernel, channel, _parts(payload, _CHUNK_HEADER.size))
        return self._add(frame.kernel, channel, flags, payload)

    def forget(self, kernel: int) -> None:
        """Drop what a kernel left unfinished."""
        for key in [key for key in self._unfinished if key[0] == kernel]:
            self._held -= len(self._unfinished.pop(key))

    def _add(
        self, kernel: int, channel: Channel, flags: int, payload: bytes
    ) -> KernelMessage | None:
        key = (kernel, channel)
        self._require(key, begun=not flags & _FIRST)
        buffer = self._unfinished.setdefault(key, bytearray())
        buffer += memoryview(payload)[_CHUNK_HEADER.size :]
        self._held += len(payload) - _CHUNK_HEADER.size
        if len(buffer) > MAX_MESSAGE + (MAX_PARTS + 1) * 4:
            raise FrameError(f"A message is longer than {MAX_MESSAGE:,} bytes.")
        if self._held > MAX_UNFINISHED:
            raise FrameError(f"Unfinished messages hold more than {MAX_UNFINISHED:,} bytes.")
        if not flags & _LAST:
            return None
        del self._unfinished[key]
        self._held -= len(buffer)
        return KernelMessage(kernel, channel, _parts(buffer, 0))

    def _require(self, key: tuple[int, Channel], *, begun: bool) -> None:
        if (key in self._unfinished) != begun:
            raise FrameError("A message's chunks are out of order.")


def _parts(whole: bytes | bytearray, at: int) -> list[bytes]:
    """Return the parts of the whole message at an offset."""
    if len(whole) < at + _COUNT.size:
        raise FrameError("A message has no parts.")
    (count,) = _COUNT.unpack_from(whole, at)
    at += _COUNT.size
    if not 0 < count <= MAX_PARTS or len(whole) < at + 4 * count:
        raise FrameError(f"A message announces {count:,} parts.")
    lengths = struct.unpack_from(f"!{count}I", whole, at)
    at += 4 * count
    if sum(lengths) != len(whole) - at:
        raise FrameError("A message's parts are not as long as it says.")
    view = memoryview(whole)
    found = []
    for length in lengths:
        found.append(bytes(view[at : at + length]))
        at += length
    return found
