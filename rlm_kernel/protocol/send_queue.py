"""Queues what waits to be written to a byte stream: control first, then every kernel in turn."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rlm_kernel.protocol import chunks, frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WRITE_BYTES = 1 << 16
"""Bytes that one write carries, unless a single frame is longer."""


class _SourceQueue:
    """The frames of one source: a kernel, or a file."""

    def __init__(self) -> None:
        self.urgent: deque[Iterator[bytes]] = deque()
        self.other: deque[Iterator[bytes]] = deque()
        self.last: bytes | None = None
        self.bytes = 0

    def next(self) -> bytes | None:
        """Return the next frame; None when there is none left."""
        for queue in (self.urgent, self.other):
            while queue:
                frame = next(queue[0], None)
                if frame is not None:
                    self.bytes -= len(frame)
                    return frame
                queue.popleft()
        last, self.last = self.last, None
        return last


class SendQueue:
    """Queues of frames; a long message delays another kernel's by one chunk at most.

    Not safe between threads.
    """

    def __init__(self) -> None:
        self._control: deque[bytes] = deque()
        self._sources: dict[tuple[int, int], _SourceQueue] = {}

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._control or self._sources)

    def control(self, frame: bytes) -> None:
        """Add a control frame, which goes before everything else."""
        self._control.append(frame)

    def message(self, kernel: int, channel: chunks.Channel, parts: Sequence[bytes]) -> None:
        """Add a kernel's message, those of its control channel first; see `chunks.split`."""
        source = self._source(frames.MESSAGE, kernel)
        queue = source.urgent if channel == chunks.Channel.CONTROL else source.other
        queue.append(chunks.split(kernel, channel, parts))
        # An estimate: chunks' headers are not counted, so it may end a little below zero
        source.bytes += sum(map(len, parts))

    def file(self, number: int, data: bytes | memoryview) -> None:
        """Add a file's next bytes (at most `chunks.CHUNK_BYTES`)."""
        source = self._source(frames.FILE, number)
        frame = frames.encode(frames.FILE, number, data)
        source.other.append(iter((frame,)))
        source.bytes += len(frame)

    def file_end(self, number: int, frame: bytes) -> None:
        """Add the control frame that follows a file's last bytes."""
        self._source(frames.FILE, number).last = frame

    def last(self, kernel: int, frame: bytes) -> None:
        """Add the frame that follows a kernel's last message."""
        self._source(frames.MESSAGE, kernel).last = frame

    def held(self, kernel: int) -> int:
        """Return about how many bytes of a kernel's messages wait."""
        return self._held(frames.MESSAGE, kernel)

    def held_of_file(self, number: int) -> int:
        """Return how many bytes of a file wait."""
        return self._held(frames.FILE, number)

    def _held(self, kind: int, number: int) -> int:
        source = self._sources.get((kind, number))
        return source.bytes if source is not None else 0

    def drop(self, kernel: int) -> None:
        """Forget the messages that wait for a kernel."""
        self._sources.pop((frames.MESSAGE, kernel), None)

    def take(self) -> bytes:
        """Remove and return the next bytes to write; empty when nothing waits."""
        taken: list[bytes] = []
        size = 0
        while size < WRITE_BYTES:
            frame = self._control.popleft() if self._control else self._next_in_turn()
            if frame is None:
                break
            taken.append(frame)
            size += len(frame)
        return b"".join(taken) if len(taken) != 1 else taken[0]

    def _next_in_turn(self) -> bytes | None:
        while self._sources:
            key, source = next(iter(self._sources.items()))
            del self._sources[key]
            frame = source.next()
            if frame is not None:
                self._sources[key] = source  # to the end of the line
                return frame
        return None

    def _source(self, kind: int, number: int) -> _SourceQueue:
        return self._sources.setdefault((kind, number), _SourceQueue())
