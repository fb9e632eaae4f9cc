"""Length-prefixed frames: the protocol of the byte stream between host and sandbox.

A frame is a header (`!IBI`: payload length, kind, number) and its payload. Both ends bound what
they accept: a frame that is too long or of an unknown kind is a `FrameError`, never a large
allocation. What `MESSAGE` frames carry is in `rlm_kernel.protocol.chunks`.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from rlm_kernel.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTROL = 0
"""A JSON object: requests to the fork server, and its reports."""

MESSAGE = 1
"""A chunk of a ZMQ message on one of a kernel's channels."""

FILE = 2
"""A chunk of a file that the host places in the sandbox; the frame's number is the file's."""

KINDS = frozenset({CONTROL, MESSAGE, FILE})

MAX_PAYLOAD = 1 << 20
"""Bytes that one frame may carry."""

_HEADER = struct.Struct("!IBI")


class Frame(NamedTuple):
    """One frame.

    Attributes:
        kind: `CONTROL`, `MESSAGE` or `FILE`.
        kernel: The kernel's number; 0 for the sandbox itself. For a `FILE`: the file's number.
        payload: The bytes.
    """

    kind: int
    kernel: int
    payload: bytes


def encode(kind: int, kernel: int, payload: bytes | memoryview) -> bytes:
    """Return a frame's bytes; a payload over `MAX_PAYLOAD` is a `FrameError`."""
    if len(payload) > MAX_PAYLOAD:
        raise FrameError(f"A frame of {len(payload):,} bytes is over the {MAX_PAYLOAD:,} allowed.")
    return b"".join((_HEADER.pack(len(payload), kind, kernel), payload))


def encode_control(message: dict[str, Any]) -> bytes:
    """Return the frame of a control message (a JSON object)."""
    return encode(CONTROL, 0, json.dumps(message).encode())


def decode_control(frame: Frame) -> dict[str, Any]:
    """Return a control frame's JSON object; any other payload is a `FrameError`."""
    try:
        message = json.loads(frame.payload)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"A control frame is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise FrameError(f"A control frame holds a {type(message).__name__}, not an object.")
    return message


class Decoder:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take the stream's next bytes and yield the frames that they complete.

        Raises:
            FrameError: A frame is invalid; the stream cannot be read any further.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            length, kind, kernel = _HEADER.unpack_from(self._buffer)
            if kind not in KINDS:
                raise FrameError(f"A frame has the unknown kind {kind}.")
            if length > MAX_PAYLOAD:
                raise FrameError(f"A frame announces {length:,} bytes; {MAX_PAYLOAD:,} is allowed.")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield Frame(kind, kernel, payload)
