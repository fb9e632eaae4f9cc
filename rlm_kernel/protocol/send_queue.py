"""What waits to be written to a byte stream: control first, then every kernel in its turn."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rlm_kernel.protocol import chunks as pieces
from rlm_kernel.protocol import frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHUNK = 1 << 16
"""Bytes that one write carries, unless a single frame is longer."""


class _ReaderThread:
    """What one kernel (or one file) has to send."""

    def __init__(self) -> None:
        self.urgent: deque[Iterator[bytes]] = deque()
        self.other: deque[Iterator[bytes]] = deque()
        self.last: bytes | None = None
        self.bytes = 0

    def next(self) -> bytes | None:
        """Return its next frame; None when there is none left."""
        for queue in (self.urgent, self.other):
            while queue:
                frame = next(queue[0], None)
                if frame is not None:
                    self.bytes -= len(frame)
                    return frame
                queue.popleft()
        last, self.last = self.last, None
        return last


class Outbox:
    """Queues of frames; a long message never delays another kernel's by more than a piece.

    Not safe between threads.
    """

    def __init__(self) -> None:
        self._control: deque[bytes] = deque()
        self._lanes: dict[tuple[int, int], _ReaderThread] = {}

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._control or self._lanes)

    def control(self, frame: bytes) -> None:
        """Add a control frame: it goes before everything else."""
        self._control.append(frame)

    def message(self, kernel: int, channel: pieces.Channel, parts: Sequence[bytes]) -> None:
        """Add a kernel's message; those of its control channel go first.

        Raises:
            FrameError: It is too long.
        """
        lane = self._lane(frames.MESSAGE, kernel)
        queue = lane.urgent if channel == pieces.Channel.CONTROL else lane.other
        queue.append(pieces.cut(kernel, channel, parts))
        # About: the pieces' headers are not counted, so that it may end a little below zero.
        lane.bytes += sum(map(len, parts))

    def file(self, number: int, data: bytes | memoryview) -> None:
        """Add a file's next bytes (at most `pieces.PIECE`)."""
        lane = self._lane(frames.FILE, number)
        frame = frames.encode(frames.FILE, number, data)
        lane.other.append(iter((frame,)))
        lane.bytes += len(frame)

    def file_end(self, number: int, frame: bytes) -> None:
        """Add the control frame that follows a file's last bytes."""
        self._lane(frames.FILE, number).last = frame

    def last(self, kernel: int, frame: bytes) -> None:
        """Add the frame that follows after all that a kernel has to send."""
        self._lane(frames.MESSAGE, kernel).last = frame

    def held(self, kernel: int) -> int:
        """Return about how many bytes wait for a kernel."""
        lane = self._lanes.get((frames.MESSAGE, kernel))
        return lane.bytes if lane is not None else 0

    def held_of_file(self, number: int) -> int:
        """Return how many bytes of a file wait."""
        lane = self._lanes.get((frames.FILE, number))
        return lane.bytes if lane is not None else 0

    def drop(self, kernel: int) -> None:
        """Forget what waits for a kernel."""
        self._lanes.pop((frames.MESSAGE, kernel), None)

    def take(self) -> bytes:
        """Return the next bytes to write; empty when nothing waits."""
        chunk: list[bytes] = []
        size = 0
        while size < CHUNK:
            frame = self._control.popleft() if self._control else self._next_in_turn()
            if frame is None:
                break
            chunk.append(frame)
            size += len(frame)
        return b"".join(chunk) if len(chunk) != 1 else chunk[0]

    def _next_in_turn(self) -> bytes | None:
        while self._lanes:
            key, lane = next(iter(self._lanes.items()))
            del self._lanes[key]
            frame = lane.next()
            if frame is not None:
                self._lanes[key] = lane  # to the end of the row
                return frame
        return None

    def _lane(self, kind: int, number: int) -> _ReaderThread:
        return self._lanes.setdefault((kind, number), _ReaderThread())
