"""The host's end of a byte stream: kernels' messages, control frames and files on one stream."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from rlm_kernel.context.value import PlacedContext
from rlm_kernel.errors import ContextError, FrameError, SandboxError
from rlm_kernel.host.fork_server import ForkServerClient
from rlm_kernel.protocol import chunks, frames
from rlm_kernel.protocol.send_queue import SendQueue
from rlm_kernel.relay.bootstrap import bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rlm_kernel.context.value import ContextValue
    from rlm_kernel.relay.machine import ByteStream

PING_SECONDS = 5.0

SILENCE_SECONDS = 30.0
"""A sandbox that has sent nothing for this long, not even answers to pings, counts as lost."""

MAX_FILE_HELD = 8 << 20
"""Bytes of a file that may wait to be sent."""

_UNSENT_SECONDS = 60.0
"""How long a file's bytes may wait until the sandbox takes them."""


class Multiplexer:
    """Drives a fork server and its pump over a byte stream.

    Args:
        stream: The open stream to `rlm_kernel.relay.bootstrap.BOOTSTRAP`.
        root: The sandbox's directory, as seen from inside; the sandbox makes it.
        silence: Seconds without a frame from the sandbox after which it counts as lost.

    Attributes:
        fork_server: The client for control frames: which kernels run, and how they ended.
        why: What ended the stream; None while it is open or when we closed it.
    """

    def __init__(self, stream: ByteStream, root: str, silence: float = SILENCE_SECONDS) -> None:
        self._stream = stream
        self._root = root
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self.fork_server = ForkServerClient(self._loop, self._send_control)
        self.why: str | None = None
        self._send_queue = SendQueue()
        self._assembler = chunks.Assembler()
        self._receivers: dict[int, Callable[[chunks.Channel, list[bytes]], None]] = {}
        self._placing: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._cleaned: asyncio.Future[bool] | None = None
        self._wake = asyncio.Event()
        self._room = threading.Condition()
        self._heard = time.monotonic()
        self._tasks = [
            asyncio.create_task(work, name=f"rlm relay {name}")
            for name, work in (
                ("reader", self._read()),
                ("writer", self._write()),
                ("pings", self._ping()),
            )
        ]

    async def close(self) -> None:
        """Close the stream, so that the sandbox ends itself."""
        self._end(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        with contextlib.suppress(OSError):
            await self._stream.close()

    async def ended(self, timeout: float) -> bool:
        """Wait until the sandbox ends the stream; return whether it did."""
        done, _ = await asyncio.wait(self._tasks[:1], timeout=timeout)
        return bool(done)

    async def clean(self) -> bool:
        """Have the sandbox end its processes and remove its files; False when it ended instead."""
        self._cleaned = self._loop.create_future()
        self.fork_server.send(op="clean")
        return await self._cleaned

    # Kernels

    def listen(
        self, kernel: int, receiver: Callable[[chunks.Channel, list[bytes]], None] | None
    ) -> None:
        """Give a kernel's messages to `receiver`; None stops that and drops what waits."""
        if receiver is None:
            self._receivers.pop(kernel, None)
            self._assembler.forget(kernel)
            self._send_queue.drop(kernel)
        else:
            self._receivers[kernel] = receiver

    def send(self, kernel: int, channel: chunks.Channel, parts: Sequence[bytes]) -> None:
        """Send a kernel a message; one that is too long is a `FrameError`."""
        if not self.fork_server.ended:
            self._send_queue.message(kernel, channel, parts)
            self._wake.set()

    # Files

    async def place(self, value: ContextValue, number: int) -> PlacedContext:
        """Write a value to a new file in the sandbox.

        Raises:
            ContextError: There is no room for it.
            SandboxError: The sandbox ended meanwhile.
        """
        path = self.path(number)
        placed: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._placing[number] = placed
        try:
            self._send_control(frames.encode_control({"op": "place", "file": number, "path": path}))
            await asyncio.to_thread(self._write_file, value, number)
            # In the same queue as the file's bytes: it must not overtake them
            sent = frames.encode_control({"op": "placed", "file": number})
            self._send_queue.file_end(number, sent)
            self._wake.set()
            report = await placed
        finally:
            self._placing.pop(number, None)
            if not placed.done() or placed.cancelled():  # given up: we do not send the rest
                self.discard(number)
        if report.get("error"):
            raise ContextError(
                f"The context ({value.type_name}) could not be written in the sandbox: "
                f"{report['error']!s:.200}. Give it more memory: its files lie there too "
                "(environment_kwargs={'mem_limit': '8g'})."
            )
        return PlacedContext(
            path=path, form=value.form, type_name=value.type_name, bytes=int(report["bytes"])
        )

    def discard(self, number: int) -> None:
        """Remove a placed file."""
        frame = frames.encode_control({"op": "discard", "file": number, "path": self.path(number)})
        self._send_queue.file_end(number, frame)
        self._wake.set()

    def path(self, number: int) -> str:
        """Return a file's path in the sandbox."""
        return f"{self._root}/c{number}"

    def _write_file(self, value: ContextValue, number: int) -> None:
        """Encode and queue a value, no faster than it is sent; runs on a thread."""
        for encoded in value.chunks():
            view = memoryview(encoded)
            for start in range(0, len(view), chunks.CHUNK_BYTES):
                self._add_to_file(number, bytes(view[start : start + chunks.CHUNK_BYTES]))

    def _add_to_file(self, number: int, data: bytes) -> None:
        with self._room:
            room = self._room.wait_for(
                lambda: self._given_up(number) or self._has_room(number),
                max(_UNSENT_SECONDS, self._silence),
            )
        if self._given_up(number) or not room:
            raise SandboxError("The sandbox ended while a context was sent to it.")
        queued = asyncio.run_coroutine_threadsafe(self._queue_file(number, data), self._loop)
        queued.result()

    def _has_room(self, number: int) -> bool:
        return self._send_queue.held_of_file(number) < MAX_FILE_HELD

    def _given_up(self, number: int) -> bool:
        return self.fork_server.ended or number not in self._placing

    async def _queue_file(self, number: int, data: bytes) -> None:
        self._send_queue.file(number, data)
        self._wake.set()

    # The stream

    def _send_control(self, frame: bytes) -> None:
        self._send_queue.control(frame)
        self._wake.set()

    async def _read(self) -> None:
        decoder = frames.Decoder()
        try:
            while data := await self._stream.read():
                self._heard = time.monotonic()
                for frame in decoder.feed(data):
                    self._take(frame)
        except FrameError as error:
            self._end(f"It sent invalid data: {error}")
        except OSError as error:
            self._end(f"Its stream broke: {error}")
        else:
            self._end("Its stream ended.")

    def _take(self, frame: frames.Frame) -> None:
        if frame.kind == frames.CONTROL:
            report = frames.decode_control(frame)
            if report.get("op") == "cleaned" and self._cleaned is not None:
                if not self._cleaned.done():
                    self._cleaned.set_result(True)
            elif report.get("op") == "placed":
                placed = self._placing.get(_number(report.get("file")))
                if placed is not None and not placed.done():
                    placed.set_result({**report, "bytes": _number(report.get("bytes"))})
            else:
                self.fork_server.take(report)
        elif frame.kind == frames.MESSAGE and frame.kernel in self._receivers:
            message = self._assembler.take(frame)
            if message is not None:
                self._receivers[message.kernel](message.channel, message.parts)

    async def _write(self) -> None:
        try:
            await self._stream.write(bundle())
            while True:
                await self._wake.wait()
                self._wake.clear()
                while data := self._send_queue.take():
                    await self._stream.write(data)
                    with self._room:
                        self._room.notify_all()
        except OSError as error:
            self._end(f"Its stream broke: {error}")

    async def _ping(self) -> None:
        while time.monotonic() - self._heard < self._silence:
            self.fork_server.send(op="ping")
            await asyncio.sleep(PING_SECONDS)
        self._end(f"It has been silent for {self._silence:.0f} s.")

    def _end(self, why: str | None) -> None:
        if self.fork_server.ended:
            return
        self.why = why
        self.fork_server.end()
        self._receivers.clear()
        if self._cleaned is not None and not self._cleaned.done():
            self._cleaned.set_result(False)
        for placed in self._placing.values():
            if not placed.done():
                placed.set_exception(SandboxError("The sandbox ended."))
        with self._room:
            self._room.notify_all()


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
