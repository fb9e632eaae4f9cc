"""The byte stream's frames and pieces, with everything that a hostile end could send."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_kernel.errors import FrameError
from rlm_kernel.host.subcalls import CallAnswer, SubCallDispatcher
from rlm_kernel.protocol import chunks, frames
from rlm_kernel.protocol.chunks import Assembler, Channel
from rlm_kernel.protocol.send_queue import SendQueue

MESSAGES = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from(Channel),
        st.lists(st.binary(max_size=40), min_size=1, max_size=5),
    ),
    max_size=8,
)


def slices(data: bytes, sizes: list[int]) -> list[bytes]:
    found, at = [], 0
    for size in sizes:
        found.append(data[at : at + size])
        at += size
    return [*found, data[at:]]


@given(MESSAGES, st.lists(st.integers(1, 50)), st.integers(1, 9))
def test_messages_arrive_whole_and_in_order_however_the_stream_is_cut(
    messages: list[Any], sizes: list[int], size: int
) -> None:
    queue, before = SendQueue(), chunks.CHUNK_BYTES
    chunks.CHUNK_BYTES = size
    try:
        for message in messages:
            queue.message(*message)
        data = b""
        while more := queue.take():
            data += more
    finally:
        chunks.CHUNK_BYTES = before
    decoder, assembler, arrived = frames.Decoder(), Assembler(), []
    for chunk in slices(data, sizes):
        for frame in decoder.feed(chunk):
            message = assembler.take(frame)
            if message is not None:
                arrived.append(message)
    for kernel in (1, 2, 3):
        for channel in Channel:
            sent = [parts for k, c, parts in messages if (k, c) == (kernel, channel)]
            assert [m.parts for m in arrived if m[:2] == (kernel, channel)] == sent
    assert not queue


@given(st.lists(st.binary(max_size=200)))
def test_any_bytes_are_frames_or_a_frame_error(chunks: list[bytes]) -> None:
    decoder, assembler = frames.Decoder(), Assembler()
    try:
        for chunk in chunks:
            for frame in decoder.feed(chunk):
                if frame.kind == frames.MESSAGE:
                    assembler.take(frame)
                elif frame.kind == frames.CONTROL:
                    frames.decode_control(frame)
    except FrameError:
        return


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 4), st.binary())))
def test_any_pieces_are_messages_or_a_frame_error(found: list[tuple[int, int, int, bytes]]) -> None:
    assembler = Assembler()
    for kernel, channel, flags, data in found:
        frame = frames.Frame(frames.MESSAGE, kernel, bytes((channel, flags)) + data)
        try:
            message = assembler.take(frame)
        except FrameError:
            continue
        if message is not None:
            assert all(isinstance(part, bytes) for part in message.parts)


def test_a_message_announced_as_too_long_is_refused_before_it_arrives() -> None:
    with pytest.raises(FrameError, match="announces 4,294,967,295 bytes"):
        list(frames.Decoder().feed(b"\xff\xff\xff\xff\x01\x00\x00\x00\x01"))


def test_too_many_parts_are_refused_on_both_ends() -> None:
    with pytest.raises(FrameError, match="5,000 parts"):
        chunks.split(1, Channel.SHELL, [b""] * 5000)
    payload = bytes((Channel.SHELL, 3)) + b"\xff\xff" + bytes(4 * 65535)
    with pytest.raises(FrameError, match="announces 65,535 parts"):
        Assembler().take(frames.Frame(frames.MESSAGE, 1, payload))


def test_unfinished_messages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MAX_UNFINISHED", 1000)
    assembler = Assembler()
    payload = bytes((Channel.SHELL, 1)) + bytes(100)
    for kernel in range(10):
        assembler.take(frames.Frame(frames.MESSAGE, kernel, payload))
    with pytest.raises(FrameError, match="hold more than 1,000 bytes"):
        assembler.take(frames.Frame(frames.MESSAGE, 10, payload))
    monkeypatch.setattr(chunks, "MAX_MESSAGE", 1000)
    with pytest.raises(FrameError, match="longer than 1,000 bytes"):
        Assembler().take(frames.Frame(frames.MESSAGE, 1, bytes((Channel.SHELL, 1)) + bytes(90_000)))


def test_control_messages_go_first_and_a_long_message_holds_up_nobody() -> None:
    queue = SendQueue()
    queue.message(1, Channel.IOPUB, [bytes(5 * chunks.CHUNK_BYTES)])
    queue.message(2, Channel.SHELL, [b"short"])
    queue.message(1, Channel.CONTROL, [b"urgent"])
    queue.last(1, frames.encode_control({"op": "died"}))
    queue.control(frames.encode_control({"op": "ping"}))
    decoder, order = frames.Decoder(), []
    while data := queue.take():
        order += [(frame.kind, frame.kernel) for frame in decoder.feed(data)]
    assert order[0] == (frames.CONTROL, 0)
    assert order[1] == (frames.MESSAGE, 1)  # its urgent one
    assert (frames.MESSAGE, 2) in order[:4]
    assert order[-1] == (frames.CONTROL, 0)  # the end comes after all that it follows


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "kind": st.sampled_from(["llm", "rlm", "tool", "x", None]) | JSON,
        "prompt": JSON,
        "model": JSON,
        "name": JSON,
        "buffer": st.integers(-3, 3) | JSON,
    },
)
CONTENT = st.fixed_dictionaries(
    {}, optional={"calls": st.lists(ENTRY, max_size=4) | JSON, "floor": JSON, "ids": JSON}
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["rlm_call", "rlm_poll", "rlm_cancel", "x"]),
            CONTENT | JSON,
            st.lists(st.binary(max_size=20), max_size=2),
        ),
        max_size=6,
    )
)
def test_any_call_is_answered_or_dropped_and_breaks_nothing(
    messages: list[tuple[str, Any, list[bytes]]],
) -> None:
    troubles: list[Any] = []
    sent: list[Any] = []

    async def handler(call: Any) -> CallAnswer:
        assert isinstance(call.prompt, str | list | dict)
        return CallAnswer(value="fine")

    async def take_them() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: troubles.append(context))
        dispatcher = SubCallDispatcher(handler, lambda content, _: sent.append(content))
        for message in messages:
            dispatcher.receive(*message)
        for _ in range(5):
            await asyncio.sleep(0)
        dispatcher.cancel_all()
        await asyncio.sleep(0)

    asyncio.run(take_them())
    assert troubles == []
    for content in sent:
        json.dumps(content)
