"""Carries the frames of a sandbox whose sockets the host cannot reach.

The pump is the fork server's first child. It owns the byte stream to the host and the sockets to
the kernels, because a process that holds a ZMQ context must not fork. Control frames pass through
it between host and fork server. Nothing here blocks: what cannot be written yet waits in queues,
and the pump does not read from a kernel whose queue is full. When the pump ends, so does the
sandbox.

The pump also answers ``ping``; ends the sandbox on ``end``, or when the host is silent for too
long; and writes files (``place``: a number and a path, `FILE` frames, ``placed``) and removes them
(``discard``).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import zmq

from rlm_kernel.errors import FrameError
from rlm_kernel.protocol import chunks, frames
from rlm_kernel.protocol.chunks import Channel
from rlm_kernel.protocol.send_queue import SendQueue

SILENCE_SECONDS = 30.0
"""A live host sends a ``ping`` every few seconds."""

MAX_HELD = 8 << 20
"""Bytes that may wait for the host before the pump stops reading from a kernel."""

_READ = 1 << 18
_RECONNECT_MILLISECONDS = 2
"""ZMQ's default costs 100 ms when we connect before the kernel has bound its socket."""

_MAX_READ = 1 << 16
"""Messages that are read from one socket before the others get their turn."""


class Pump:
    """The loop between the stream, the fork server and the kernels."""

    def __init__(
        self, stream_in: int, stream_out: int, server: socket.socket, silence: float
    ) -> None:
        for fd in (stream_in, stream_out):
            os.set_blocking(fd, False)
        self._in = stream_in
        self._out = stream_out
        self._server = server
        self._silence = silence
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._send_queue = SendQueue()
        self._unwritten = memoryview(b"")
        self._assembler = chunks.Assembler()
        self._sockets: dict[int, dict[Channel, zmq.Socket[bytes]]] = {}
        self._owner: dict[zmq.Socket[bytes], tuple[int, Channel]] = {}
        self._paused: set[int] = set()
        self._files = _Files()
        self._heard = time.monotonic()
        self._over = False
        self._writing = False

    def run(self) -> None:
        """Carry frames until the stream or the fork server ends, or the host is silent."""
        from_host, from_server = frames.Decoder(), frames.Decoder()
        self._poller.register(self._in, zmq.POLLIN)
        self._poller.register(self._server, zmq.POLLIN)
        while not self._over:
            silent_at = self._heard + self._silence
            wait = max(0.0, silent_at - time.monotonic())
            ready = dict(self._poller.poll(int(wait * 1000) + 1))
            if self._in in ready:
                data = os.read(self._in, _READ)
                self._heard = time.monotonic()
                self._over = not data
                for frame in from_host.feed(data):
                    self._from_host(frame)
            elif time.monotonic() >= silent_at:
                self._over = True
            if self._server.fileno() in ready:
                data = self._server.recv(_READ)
                self._over = self._over or not data
                for frame in from_server.feed(data):
                    self._from_server(frame)
            for sock in ready:
                if sock in self._owner:
                    self._from_kernel(sock)
            self._write()
            self._resume()

    # From the host

    def _from_host(self, frame: frames.Frame) -> None:
        if frame.kind == frames.MESSAGE:
            message = self._assembler.take(frame)
            if message is not None and message.kernel in self._sockets:
                sock = self._sockets[message.kernel].get(message.channel)
                if sock is not None and message.channel != Channel.IOPUB:
                    with contextlib.suppress(zmq.ZMQError):
                        sock.send_multipart(message.parts, zmq.DONTWAIT)
        elif frame.kind == frames.FILE:
            self._files.write(frame.kernel, frame.payload)
        else:
            self._do(frames.decode_control(frame))

    def _do(self, request: dict[str, Any]) -> None:
        """Do what the host requests, or pass the request to the fork server."""
        op = request.get("op")
        if op == "ping":
            self._tell(op="pong")
        elif op == "end":
            self._over = True
        elif op == "place":
            self._files.open(request["file"], request["path"])
        elif op == "discard":
            self._files.discard(request["file"], request["path"])
        elif op == "placed":
            size, problem = self._files.close(request["file"])
            self._tell(op="placed", file=request["file"], bytes=size, error=problem)
        else:
            if op == "spawn":
                self._connect(request["kernel"], request["connection"])
            self._server.sendall(frames.encode_control(request))

    def _tell(self, **report: Any) -> None:
        self._send_queue.control(frames.encode_control(report))

    # From the fork server

    def _from_server(self, frame: frames.Frame) -> None:
        report = json.loads(frame.payload)
        data = frames.encode_control(report)
        if report["op"] == "died":
            # The kernel's last messages come first
            self._disconnect(report["kernel"])
            self._send_queue.last(report["kernel"], data)
        else:
            self._send_queue.control(data)

    # Kernels

    def _connect(self, kernel: int, connection: dict[str, Any]) -> None:
        self._sockets[kernel] = {}
        for channel in Channel:
            sock = self._context.socket(zmq.SUB if channel == Channel.IOPUB else zmq.DEALER)
            sock.linger = 0
            sock.reconnect_ivl = _RECONNECT_MILLISECONDS
            sock.maxmsgsize = chunks.MAX_MESSAGE
            sock.sndhwm = sock.rcvhwm = 0
            if channel == Channel.IOPUB:
                sock.subscribe(b"")
            else:
                # A kernel sends its input request on stdin to the sender of the request on shell
                sock.identity = b"pump"
            sock.connect(f"ipc://{connection['ip']}-{connection[f'{channel.name.lower()}_port']}")
            self._sockets[kernel][channel] = sock
            self._owner[sock] = (kernel, channel)
            self._poller.register(sock, zmq.POLLIN)

    def _disconnect(self, kernel: int) -> None:
        self._assembler.forget(kernel)
        paused = kernel in self._paused
        self._paused.discard(kernel)
        for sock in self._sockets.pop(kernel, {}).values():
            self._from_kernel(sock, at_end=True)
            del self._owner[sock]
            if not paused:
                self._poller.unregister(sock)
            sock.close()

    def _from_kernel(self, sock: zmq.Socket[bytes], *, at_end: bool = False) -> None:
        """Queue what a socket has for the host, until the kernel's queue is full."""
        kernel, channel = self._owner[sock]
        with contextlib.suppress(zmq.Again):
            for _ in range(_MAX_READ):
                if self._send_queue.held(kernel) > MAX_HELD * (4 if at_end else 1):
                    if not at_end:
                        self._pause(kernel)
                    return
                parts = sock.recv_multipart(zmq.DONTWAIT)
                with contextlib.suppress(FrameError):  # over any honest length: dropped
                    self._send_queue.message(kernel, channel, parts)

    def _pause(self, kernel: int) -> None:
        if kernel not in self._paused:
            self._paused.add(kernel)
            for sock in self._sockets[kernel].values():
                self._poller.unregister(sock)

    def _resume(self) -> None:
        for kernel in [k for k in self._paused if self._send_queue.held(k) <= MAX_HELD // 2]:
            self._paused.discard(kernel)
            for sock in self._sockets[kernel].values():
                self._poller.register(sock, zmq.POLLIN)

    # To the host

    def _write(self) -> None:
        """Write what the stream takes now, and poll for when it takes more."""
        while self._unwritten or self._send_queue:
            if not self._unwritten:
                self._unwritten = memoryview(self._send_queue.take())
                continue
            try:
                self._unwritten = self._unwritten[os.write(self._out, self._unwritten) :]
            except BlockingIOError:
                break
            except OSError:
                self._over = True
                return
        if self._writing != bool(self._unwritten):
            self._writing = not self._writing
            if self._writing:
                self._poller.register(self._out, zmq.POLLOUT)
            else:
                self._poller.unregister(self._out)


class _Files:
    """The files that the host is sending; `close` reports the first problem with a file."""

    def __init__(self) -> None:
        self._open: dict[int, Any] = {}
        self._problems: dict[int, str] = {}

    def open(self, number: int, path: str) -> None:
        try:
            self._open[number] = Path(path).open("xb", buffering=0)  # noqa: SIM115 - `close` does
            os.fchmod(self._open[number].fileno(), 0o600)
        except OSError as error:
            self._problems[number] = error.strerror or str(error)

    def write(self, number: int, data: bytes) -> None:
        file = self._open.get(number)
        if file is None or number in self._problems:
            return
        try:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            self._problems[number] = error.strerror or str(error)

    def discard(self, number: int, path: str) -> None:
        self.close(number)
        with contextlib.suppress(OSError):
            Path(path).unlink()

    def close(self, number: int) -> tuple[int, str | None]:
        file = self._open.pop(number, None)
        size = 0
        if file is not None:
            size = file.tell()
            file.close()
            if number in self._problems:
                Path(file.name).unlink()
        return size, self._problems.pop(number, None)
