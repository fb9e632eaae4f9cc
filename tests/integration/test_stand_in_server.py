"""The stand-in server, through the real SDKs and raw sockets."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import socket
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from rlm.demo.server import LMRequest, LMResponse, StandInServer, script

if TYPE_CHECKING:
    from collections.abc import Callable

QUESTION: Any = [{"role": "user", "content": "12345678"}]


def post(server: StandInServer, body: object, path: str = "/v1/chat/completions") -> Any:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    try:
        connection.request("POST", path, json.dumps(body))
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def http_request(messages: object) -> bytes:
    body = json.dumps({"messages": messages}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def connect(server: StandInServer) -> socket.socket:
    raw = socket.create_connection(("127.0.0.1", server.port))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return raw


def openai_client(server: StandInServer) -> openai.OpenAI:
    return openai.OpenAI(api_key="EMPTY", base_url=server.base_url, max_retries=0)


def test_the_openai_sdk_gets_text_and_counted_usage() -> None:
    with StandInServer(lambda request: request.prompt[::-1]) as server, openai_client(server) as c:
        reply = c.chat.completions.create(model="m", messages=QUESTION)
    assert reply.choices[0].message.content == "87654321"
    assert reply.model == "m"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2, 2)


def test_a_streamed_reply_comes_in_pieces_with_usage_at_the_end() -> None:
    text = "é" * 1000
    reply = LMResponse(text=text, usage=(7, 9))
    with StandInServer(lambda _: reply) as server, openai_client(server) as client:
        chunks = list(
            client.chat.completions.create(
                model="m", messages=QUESTION, stream=True, stream_options={"include_usage": True}
            )
        )
    pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(pieces) == text
    assert sum(map(bool, pieces)) > 1
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 9)


def test_a_server_can_refuse_stream_options() -> None:
    with StandInServer(lambda _: "fine", refuse_stream_options=True) as server:
        with openai_client(server) as client, pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model="m", messages=QUESTION, stream=True, stream_options={"include_usage": True}
            )
        with openai_client(server) as client:
            chunks = list(client.chat.completions.create(model="m", messages=QUESTION, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "fine"
    assert all(c.usage is None for c in chunks)


@pytest.mark.parametrize("stream", [False, True])
def test_the_anthropic_sdk_gets_text_usage_and_stop_reason(*, stream: bool) -> None:
    answer = LMResponse(text="a b c d", usage=(3, 5), finish_reason="length")
    with (
        StandInServer(lambda _: answer) as server,
        anthropic.Anthropic(api_key="k", base_url=server.url, max_retries=0) as client,
    ):
        message: Any
        if stream:
            with client.messages.stream(
                model="m", max_tokens=9, messages=QUESTION, system="s"
            ) as events:
                message = events.get_final_message()
        else:
            message = client.messages.create(model="m", max_tokens=9, messages=QUESTION, system="s")
    assert [block.text for block in message.content] == ["a b c d"]
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 5)
    assert message.stop_reason == "max_tokens"
    (request,) = server.requests
    assert request.is_root
    assert request.headers["authorization"] == "Bearer k"
    assert request.messages[0] == {"role": "system", "content": "s"}


def test_requests_are_recorded_with_headers_and_body_unless_switched_off() -> None:
    with StandInServer(lambda _: "ok") as server, openai_client(server) as client:
        client.chat.completions.create(model="m", messages=QUESTION, temperature=0.5)
    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer EMPTY"
    assert request.body["temperature"] == 0.5
    with StandInServer(lambda _: "ok", record=False) as server, openai_client(server) as client:
        client.chat.completions.create(model="m", messages=QUESTION)
    assert server.requests == []


@pytest.mark.parametrize(
    ("response", "status", "body"),
    [
        (LMResponse(raw=b'{"choices": []}'), 200, {"choices": []}),
        (LMResponse(raw=b"null", status=503), 503, None),
    ],
)
def test_a_raw_body_is_sent_verbatim(response: LMResponse, status: int, body: object) -> None:
    with StandInServer(lambda _: response) as server:
        assert post(server, {"messages": QUESTION}) == (status, body)


def test_an_error_has_status_headers_and_code() -> None:
    busy = LMResponse(
        text="slow down", status=429, headers={"retry-after": "3"}, error_code="rate_limit"
    )
    with (
        StandInServer(lambda _: busy) as server,
        openai_client(server) as client,
        pytest.raises(openai.RateLimitError, match="slow down") as caught,
    ):
        client.chat.completions.create(model="m", messages=QUESTION)
    assert caught.value.response.headers["retry-after"] == "3"
    assert caught.value.code == "rate_limit"


@pytest.mark.parametrize("cut_after", [0, 5])
def test_a_cut_reply_ends_the_connection_early(cut_after: int) -> None:
    cut = LMResponse(text="hello", cut_after=cut_after)
    with (
        StandInServer(lambda _: cut) as server,
        openai_client(server) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.chat.completions.create(model="m", messages=QUESTION)
    with StandInServer(lambda _: cut) as server, connect(server) as raw:
        raw.sendall(http_request(QUESTION))
        with raw.makefile("rb") as stream:
            received = stream.read()
    assert received.partition(b"\r\n\r\n")[2] == b'{"id"'[:cut_after]
    assert bool(received) == bool(cut_after)


def test_the_stand_in_can_send_null_text_and_leave_out_usage() -> None:
    nothing = LMResponse(text=None, report_usage=False)
    with StandInServer(lambda _: nothing) as server, openai_client(server) as client:
        reply = client.chat.completions.create(model="m", messages=QUESTION)
    assert reply.choices[0].message.content is None
    assert reply.usage is None


def test_a_reply_function_that_raises_is_a_400_that_says_so() -> None:
    def broken(request: LMRequest) -> str:
        raise KeyError(request.model)

    with StandInServer(broken) as server:
        status, body = post(server, {"messages": QUESTION, "model": "m"})
    assert status == 400
    assert "KeyError: 'm'" in body["error"]["message"]


@pytest.mark.parametrize("body", [{}, [], {"messages": 3}])
def test_anything_but_a_chat_request_is_refused(body: object) -> None:
    with StandInServer(lambda _: "ok") as server:
        assert post(server, body)[0] == 400
        assert post(server, {"messages": QUESTION}, "/v1/nothing")[0] == 404


def test_pipelined_requests_split_at_any_byte_are_answered_in_order() -> None:
    def reply(request: LMRequest) -> LMResponse:
        return LMResponse(raw=request.prompt.encode(), delay=0.001)

    sent = b"".join(http_request([{"role": "user", "content": str(n)}]) for n in range(5))
    answers: list[bytes] = []
    with StandInServer(reply) as server, connect(server) as raw, raw.makefile("rb") as stream:
        for start in range(0, len(sent), 37):
            raw.sendall(sent[start : start + 37])
        while len(answers) < 5:
            length = 0
            while (line := stream.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            answers.append(stream.read(length))
    assert answers == [b"0", b"1", b"2", b"3", b"4"]


def test_a_thousand_connections_are_answered_at_once() -> None:
    async def ask(port: int, all_connected: asyncio.Barrier) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await all_connected.wait()
        writer.write(http_request(QUESTION))
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return answer

    async def ask_all(port: int) -> list[bytes]:
        barrier = asyncio.Barrier(1000)
        return await asyncio.gather(*(ask(port, barrier) for _ in range(1000)))

    with StandInServer(lambda _: LMResponse(text="ok", delay=0.05)) as server:
        answers = asyncio.run(ask_all(server.port))
    assert len(answers) == 1000
    assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers)


def test_close_drops_waiting_replies_and_leaves_no_thread_or_socket() -> None:
    before = threading.active_count()
    server = StandInServer(lambda _: LMResponse(delay=3600)).start()
    with connect(server) as raw:
        raw.sendall(http_request(QUESTION))
        while not server.requests:
            pass
        server.close()
        server.close()
        assert server.connections == 0
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def run_of(number: int) -> list[dict[str, str]]:
    return [{"role": "system", "content": "s"}, {"role": "user", "content": str(number)}]


def test_a_script_gives_turns_in_order_and_sub_calls_by_prompt() -> None:
    reply = script(root=["one", LMResponse(text="two")], sub=lambda prompt: prompt.upper())
    with StandInServer(reply) as server:
        texts = []
        for messages in (run_of(1), [{"role": "user", "content": "sub"}], run_of(2)):
            _, body = post(server, {"messages": messages})
            texts.append(body["choices"][0]["message"]["content"])
        status, body = post(server, {"messages": run_of(3)})
    assert texts == ["one", "SUB", "two"]
    assert status == 400
    assert "2 root replies" in body["error"]["message"]


def test_a_script_with_a_function_can_tell_runs_and_turns_apart() -> None:
    root: Callable[[LMRequest], str] = lambda r: f"{r.messages[1]['content']}/{r.turn}"  # noqa: E731
    with StandInServer(script(root=root)) as server:
        _, first = post(server, {"messages": run_of(7)})
        later = [*run_of(8), {"role": "assistant", "content": "x"}, {"role": "user", "content": ""}]
        _, second = post(server, {"messages": later})
    assert first["choices"][0]["message"]["content"] == "7/1"
    assert second["choices"][0]["message"]["content"] == "8/2"


def test_connections_that_come_in_while_it_closes_are_closed_too() -> None:
    for _ in range(50):
        server = StandInServer(lambda _: "").start()
        closing = threading.Thread(target=server.close)
        with ExitStack() as clients, suppress(OSError):
            closing.start()
            while closing.is_alive():
                clients.enter_context(connect(server))
        closing.join()
        assert server.connections == 0
    gc.collect()  # a socket that nobody closed is a warning here, and so a failure
