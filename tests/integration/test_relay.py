"""The host's end of a relayed sandbox, with a hostile one at the other end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_kernel.context.value import context_value
from rlm_kernel.errors import ContextError, SandboxError
from rlm_kernel.protocol import chunks, frames
from rlm_kernel.relay import multiplexer as relay
from rlm_kernel.relay.bootstrap import bundle
from rlm_kernel.relay.multiplexer import Multiplexer
from rlm_kernel.relay.socket_proxy import SocketProxy


class Wire:
    """A byte stream whose other end is the test."""

    def __init__(self) -> None:
        self.arriving: asyncio.Queue[bytes] = asyncio.Queue()
        self.sent = bytearray()
        self.file_sent = asyncio.Event()
        self.closed = False

    async def read(self) -> bytes:
        return await self.arriving.get()

    async def write(self, data: bytes) -> None:
        self.sent += data
        if b'"placed"' in self.sent:
            self.file_sent.set()

    async def close(self) -> None:
        self.closed = True

    def say(self, **report: Any) -> None:
        self.arriving.put_nowait(frames.encode_control(report))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def framed(kind: int, kernel: int, payload: bytes) -> bytes:
    return frames.encode(kind, kernel, payload)


FORGED = {
    "an unknown kernel": (framed(frames.MESSAGE, 77, b"\x01\x03\x00\x01\x00\x00\x00\x00"), None),
    "an end of an unknown kernel": (
        frames.encode_control({"op": "died", "kernel": 77, "code": 0}),
        None,
    ),
    "an unknown report": (frames.encode_control({"op": "boo", "kernel": 1}), None),
    "an oversized length": (b"\xff\xff\xff\xff\x00\x00\x00\x00\x00", "announces 4,294,967,295"),
    "an unknown kind": (framed(9, 1, b""), "unknown kind 9"),
    "a control frame that is no JSON": (framed(frames.CONTROL, 0, b"{"), "not JSON"),
    "a control frame that is no object": (framed(frames.CONTROL, 0, b"[]"), "not an object"),
    "a deep control frame": (framed(frames.CONTROL, 0, b"[" * 1_000_000), "not JSON"),
    "a malformed report": (
        frames.encode_control({"op": "died", "kernel": 1, "code": []}),
        "malformed",
    ),
    "an unknown channel": (framed(frames.MESSAGE, 1, b"\x09\x03\x00\x01"), "unknown channel 9"),
    "a piece without a header": (framed(frames.MESSAGE, 1, b""), "no header"),
    "a piece without a beginning": (framed(frames.MESSAGE, 1, b"\x01\x00x"), "out of order"),
    "lengths that lie": (
        framed(frames.MESSAGE, 1, b"\x01\x03\x00\x01\xff\xff\xff\xffx"),
        "not as long",
    ),
    "a placed file that nobody sent": (
        frames.encode_control({"op": "placed", "file": [], "bytes": "x"}),
        None,
    ),
}


@pytest.mark.parametrize(("data", "why"), FORGED.values(), ids=FORGED.keys())
async def test_forged_frames_are_dropped_or_end_the_sandbox(data: bytes, why: str | None) -> None:
    wire = Wire()
    link = Multiplexer(wire, "/tmp/x")
    try:
        wire.say(op="ready")
        await link.fork_server.ready
        kernel = link.fork_server.new_kernel()
        heard: list[Any] = []
        link.listen(kernel.number, lambda *message: heard.append(message))
        wire.arriving.put_nowait(data)
        await settle()
        assert heard == []
        if why is None:
            assert not link.fork_server.ended
        else:
            assert why in (link.why or "")
            assert kernel.died.done()
            with pytest.raises(SandboxError):
                link.fork_server.new_kernel()
    finally:
        await link.close()
    assert wire.closed


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=300), max_size=10))
def test_no_bytes_raise_in_the_loop(found: list[bytes]) -> None:
    troubles: list[Any] = []

    async def feed() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: troubles.append(about))
        wire = Wire()
        link = Multiplexer(wire, "/tmp/x")
        kernel = link.fork_server.new_kernel()
        link.listen(kernel.number, lambda *_: None)
        for data in found:
            wire.arriving.put_nowait(data)
        wire.arriving.put_nowait(b"")
        await settle()
        assert link.fork_server.ended
        await link.close()

    asyncio.run(feed())
    assert troubles == []


async def test_a_silent_sandbox_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "PING_SECONDS", 0.01)
    bundle()  # Made and kept before the silence begins: it takes a while.
    wire = Wire()
    link = Multiplexer(wire, "/tmp/x", silence=1)
    try:
        with pytest.raises(SandboxError):
            await asyncio.wait_for(link.fork_server.ready, 60)
        assert link.why == "It has been silent for 1 s."
        assert b'"ping"' in wire.sent
    finally:
        await link.close()


async def test_a_context_that_does_not_fit_says_so() -> None:
    wire = Wire()
    link = Multiplexer(wire, "/tmp/x")
    try:
        placing = asyncio.create_task(link.place(context_value("x" * 1000), 4))
        await wire.file_sent.wait()
        wire.say(op="placed", file=4, bytes=0, error="No space left on device")
        with pytest.raises(ContextError, match=r"No space left on device.*'mem_limit'"):
            await placing
    finally:
        await link.close()


async def test_a_context_transfer_ends_with_the_sandbox() -> None:
    wire = Wire()
    link = Multiplexer(wire, "/tmp/x")
    placing = asyncio.create_task(link.place(context_value("x" * 1000), 4))
    await wire.file_sent.wait()
    wire.arriving.put_nowait(b"")
    with pytest.raises(SandboxError):
        await placing
    await link.close()


def test_a_chunk_fits_into_a_frame() -> None:
    assert chunks.CHUNK_BYTES + 2 <= frames.MAX_PAYLOAD


class Echo:
    """A sandbox's kernel that sends every message back."""

    def listen(self, kernel: int, receiver: Any) -> None:
        self.kernel, self.receiver = kernel, receiver

    def send(self, kernel: int, channel: chunks.Channel, parts: list[bytes]) -> None:
        assert kernel == self.kernel
        asyncio.get_running_loop().call_soon(self.receiver, channel, parts)


def ask_in_pairs(address: str, pairs: int) -> int:
    """Send two messages at a time, and return how many of the pairs came back whole."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.connect(address)
        for number in range(pairs):
            client.send(b"one")
            for _ in range(number % 400):  # the second comes at any moment of the first's answer
                pass
            client.send(b"two")
            for _ in range(2):
                if not client.poll(5_000):
                    return number
                client.recv()
    return pairs


async def test_a_message_that_arrives_while_another_is_answered_is_handled(tmp_path: Path) -> None:
    ports = {f"{channel.name.lower()}_port": channel.value + 1 for channel in chunks.Channel}
    connection = {"ip": str(tmp_path / "s"), "key": "k", "signature_scheme": "hmac-sha256", **ports}
    sockets = SocketProxy(connection)
    try:
        sockets.connect_kernel(Echo(), 1)  # type: ignore[arg-type]
        address = f"ipc://{connection['ip']}-{ports['shell_port']}"
        assert await asyncio.to_thread(ask_in_pairs, address, 3_000) == 3_000
    finally:
        sockets.close()
