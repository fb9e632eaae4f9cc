"""What a backend makes of a provider's replies, good and bad, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from rlm.backends import create
from rlm.demo.server import LMRequest, LMResponse
from rlm.errors import BackendError, ContextWindowError
from rlm.events import CallUsage

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.backends.base import LMReply
    from rlm.demo.server import StandInServer
    from rlm.events import Message

    Start = Callable[..., StandInServer]

HELLO: list[Message] = [{"role": "user", "content": "hello"}]
WAYS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
BOTH = pytest.mark.parametrize("backend", ["vllm", "anthropic"])


def ask(
    server: StandInServer,
    *,
    backend: str = "vllm",
    stream: bool = False,
    messages: list[Message] = HELLO,
    times: int = 1,
    model: str | None = None,
    **kwargs: Any,
) -> LMReply:
    """Ask a server through a backend; return the last reply."""
    base_url = server.url if backend == "anthropic" else server.base_url

    async def run() -> LMReply:
        given = {"model_name": "m", "base_url": base_url, "api_key": "sk-very-secret", **kwargs}
        client = create(backend, given)
        try:
            for _ in range(times):
                reply = await client.complete(messages, model=model, stream=stream)
        finally:
            await client.close()
        return reply

    return asyncio.run(run())


def chat(message: dict[str, Any] | None, **more: Any) -> bytes:
    return json.dumps({"choices": [{"message": message}], **more}).encode()


@WAYS
@BOTH
def test_a_reply_has_text_usage_and_finish_reason(
    server: Start, backend: str, stream: bool
) -> None:
    text = "line 1\nline\u2028 2 \x85 ends with ünï 🎉"
    standin = server(lambda _: LMResponse(text=text, usage=(7, 11)))
    reply = ask(standin, backend=backend, stream=stream)
    assert reply.text == text
    assert reply.model == "m"
    assert reply.usage == CallUsage(input_tokens=7, output_tokens=11, cost=None)
    assert reply.finish_reason in {"stop", "end_turn"}
    assert standin.requests[0].stream is stream


@WAYS
@BOTH
def test_usage_that_the_provider_leaves_out_is_none(
    server: Start, backend: str, stream: bool
) -> None:
    standin = server(lambda _: LMResponse(text="a", report_usage=False))
    assert ask(standin, backend=backend, stream=stream).usage == CallUsage()


@WAYS
@pytest.mark.parametrize("cost", [0.0, 0.25, None])
def test_a_cost_is_what_the_provider_reports_and_else_unknown(
    server: Start, stream: bool, cost: float | None
) -> None:
    standin = server(lambda _: LMResponse(text="a", cost=cost))
    reply = ask(standin, backend="openrouter", stream=stream)
    assert reply.usage.cost == cost
    assert standin.requests[0].body["usage"] == {"include": True}


def test_with_a_key_of_the_users_own_the_upstream_cost_counts_too(server: Start) -> None:
    usage = {"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": 1.0}}
    raw = chat({"content": "a"}, usage=usage)
    assert ask(server(lambda _: LMResponse(raw=raw))).usage.cost == 1.25


@WAYS
@BOTH
@pytest.mark.parametrize("text", ["", None])
def test_an_empty_or_null_reply_is_empty_text(
    server: Start, backend: str, stream: bool, text: str | None
) -> None:
    standin = server(lambda _: LMResponse(text=text))
    assert ask(standin, backend=backend, stream=stream).text == ""


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "text", "text": "a"}, "b", {"type": "image"}, 3]}, "ab"),
        ({"content": None, "refusal": "I will not."}, "I will not."),
        ({"content": None, "reasoning_content": "hm"}, ""),
        (None, ""),
    ],
)
def test_content_comes_in_many_shapes(
    server: Start, message: dict[str, Any] | None, text: str
) -> None:
    assert ask(server(lambda _: LMResponse(raw=chat(message)))).text == text


@BOTH
@pytest.mark.parametrize(
    "raw", [b"", b"not json", b"[]", b"{}", b'{"choices": []}', b"<html>a page</html>", b"\xff{"]
)
def test_a_malformed_reply_is_an_error_that_may_be_retried(
    server: Start, backend: str, raw: bytes
) -> None:
    with pytest.raises(BackendError, match="malformed reply") as caught:
        ask(server(lambda _: LMResponse(raw=raw)), backend=backend)
    assert caught.value.retryable
    assert caught.value.model == "m"


@WAYS
@BOTH
@pytest.mark.parametrize("bytes_sent", [0, 40, 200])
def test_a_reply_that_breaks_off_is_an_error_that_may_be_retried(
    server: Start, backend: str, stream: bool, bytes_sent: int
) -> None:
    standin = server(lambda _: LMResponse(text="x" * 400, cut_after=bytes_sent))
    with pytest.raises(BackendError) as caught:
        ask(standin, backend=backend, stream=stream)
    assert caught.value.retryable
    assert caught.value.status is None


def test_a_stream_that_ends_cleanly_but_too_early_is_an_error(server: Start) -> None:
    raw = b'data: {"choices": [{"delta": {"content": "half of i"}}]}\n\n'
    sse = {"content-type": "text/event-stream"}
    standin = server(lambda _: LMResponse(raw=raw, headers=sse))
    with pytest.raises(BackendError, match="after 9 characters"):
        ask(standin, stream=True)


def test_comments_and_a_missing_last_line_in_a_stream_do_no_harm(server: Start) -> None:
    raw = (
        b": OPENROUTER PROCESSING\r\n\r\nevent: message\r\n"
        b'data: {"choices": [{"delta": {"content": "a"}}]}\r\n\r\n'
        b'data: {"choices": [],\ndata: "usage": {"prompt_tokens": 3}}\n\ndata: [DONE]'
    )
    standin = server(lambda _: LMResponse(raw=raw, headers={"content-type": "text/event-stream"}))
    reply = ask(standin, stream=True)
    assert reply.text == "a"
    assert reply.usage == CallUsage(input_tokens=3)


def test_an_error_inside_a_reply_with_status_200_is_an_error(server: Start) -> None:
    raw = b'{"error": {"code": 429, "message": "Slow down."}}'
    with pytest.raises(BackendError, match=r"HTTP 429 .* Slow down") as caught:
        ask(server(lambda _: LMResponse(raw=raw)))
    assert caught.value.retryable
    assert caught.value.status == 429


def test_an_overloaded_anthropic_may_say_so_in_the_middle_of_a_stream(server: Start) -> None:
    raw = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n'
    standin = server(lambda _: LMResponse(raw=raw, headers={"content-type": "text/event-stream"}))
    with pytest.raises(BackendError, match="overloaded_error") as caught:
        ask(standin, backend="anthropic", stream=True)
    assert caught.value.status == 529
    assert caught.value.retryable


def test_a_server_that_refuses_stream_options_is_asked_without_and_that_is_remembered(
    server: Start,
) -> None:
    standin = server(lambda _: "hello", refuse_stream_options=True)
    reply = ask(standin, stream=True, times=3)
    assert reply.text == "hello"
    assert ["stream_options" in r.body for r in standin.requests] == [True, False, False, False]
    assert all(r.stream for r in standin.requests)


def test_a_server_that_cannot_stream_is_asked_plainly_and_that_is_remembered(
    server: Start,
) -> None:
    def reply(request: LMRequest) -> LMResponse:
        if request.stream:
            return LMResponse(status=422, text="Streaming is not supported by this model")
        return LMResponse(text="plain")

    standin = server(reply)
    assert ask(standin, stream=True, times=2).text == "plain"
    assert [r.stream for r in standin.requests] == [True, False, False]


def test_a_request_that_fails_for_another_reason_is_not_treated_as_a_refusal(server: Start) -> None:
    standin = server(lambda _: LMResponse(status=400, text="bad temperature in this stream"))
    with pytest.raises(BackendError, match="bad temperature"):
        ask(standin, stream=True)
    assert [r.stream for r in standin.requests] == [True, False]


def test_json_from_a_server_that_was_asked_to_stream_is_read_as_json(server: Start) -> None:
    raw = chat({"content": "whole"})
    json_type = {"content-type": "application/json"}
    standin = server(lambda _: LMResponse(raw=raw, headers=json_type))
    assert ask(standin, stream=True).text == "whole"


@WAYS
@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [
        (401, "Incorrect API key provided: sk-very-secret.", "backend_kwargs['api_key']"),
        (402, "Pay.", "no credit"),
        (404, "No such model.", "Check model_name"),
        (429, "Slow.", "rate limit"),
        (503, "Down.", "HTTP 503"),
    ],
)
def test_an_error_quotes_the_provider_says_what_to_do_and_shows_no_key(
    server: Start, stream: bool, status: int, message: str, advice: str
) -> None:
    standin = server(lambda _: LMResponse(status=status, text=message))
    with pytest.raises(BackendError) as caught:
        ask(standin, stream=stream)
    error = caught.value
    assert advice in str(error)
    assert message.partition(":")[0] in str(error)
    assert error.status == status
    assert error.retryable is (status >= 429)
    everything = "".join(traceback.format_exception(error)) + repr(vars(error))
    assert "sk-very-secret" not in everything
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize(
    ("backend", "variable"),
    [("openrouter", "OPENROUTER_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")],
)
def test_a_refused_key_is_named_by_its_variable(server: Start, backend: str, variable: str) -> None:
    standin = server(lambda _: LMResponse(status=401, text="no"))
    with pytest.raises(BackendError, match=variable):
        ask(standin, backend=backend)


def test_a_server_that_wants_a_key_and_got_none_is_told_apart(server: Start) -> None:
    standin = server(lambda _: LMResponse(status=401, text="no"))
    with pytest.raises(BackendError, match="No key was sent"):
        ask(standin, api_key=None)


def test_a_long_error_page_is_quoted_in_short_and_without_markup(server: Start) -> None:
    raw = b"<html><style>p{}</style><p>Bad gateway</p>" + b"<i>very </i>" * 5000
    with pytest.raises(BackendError, match="Bad gateway very") as caught:
        ask(server(lambda _: LMResponse(status=502, raw=raw)))
    assert len(str(caught.value)) < 1000
    assert "<" not in str(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 9000.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 32768 > 200000",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Invalid 'messages[0].content': string too long. Expected a string with maximum length 9.",
        "the request exceeds the available context size, try increasing it",
    ],
)
@WAYS
def test_a_prompt_over_the_window_is_a_context_window_error(
    server: Start, message: str, stream: bool
) -> None:
    standin = server(lambda _: LMResponse(status=400, text=message))
    with pytest.raises(ContextWindowError) as caught:
        ask(standin, stream=stream)
    assert not caught.value.retryable


def test_a_window_error_is_also_known_by_its_code(server: Start) -> None:
    standin = server(
        lambda _: LMResponse(status=400, text="no", error_code="context_length_exceeded")
    )
    with pytest.raises(ContextWindowError):
        ask(standin)


def test_a_used_up_quota_is_not_retried(server: Start) -> None:
    standin = server(
        lambda _: LMResponse(status=429, text="Quota.", error_code="insufficient_quota")
    )
    with pytest.raises(BackendError) as caught:
        ask(standin)
    assert not caught.value.retryable


def test_a_server_that_is_not_there_is_named_without_the_secrets_in_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def run() -> None:
        url = f"http://user:hunter22@127.0.0.1:{port}/v1?api_key=hidden-one"
        client = create("vllm", {"model_name": "m", "base_url": url})
        try:
            await client.complete(HELLO)
        finally:
            await client.close()

    with pytest.raises(
        BackendError, match=f"could not be reached at http://127.0.0.1:{port}/v1 "
    ) as c:
        asyncio.run(run())
    assert c.value.retryable
    assert "hunter22" not in str(c.value)
    assert "hidden-one" not in str(c.value)


@WAYS
def test_a_server_that_does_not_answer_in_time_is_an_error(server: Start, stream: bool) -> None:
    standin = server(lambda _: LMResponse(text="late", delay=30.0))
    with pytest.raises(BackendError, match="did not answer in time") as caught:
        ask(standin, stream=stream, timeout=0.1)
    assert caught.value.retryable


def test_half_a_character_is_replaced_not_fatal(server: Start) -> None:
    standin = server(lambda _: "fine")
    assert ask(standin, messages=[{"role": "user", "content": "a\ud83d b\ude00"}]).text == "fine"
    assert standin.requests[0].messages[0]["content"] == "a\ufffd b\ufffd"


def test_another_model_of_the_same_provider_can_be_asked(server: Start) -> None:
    standin = server(lambda _: "fine")
    assert ask(standin, model="other").model == "other"
    assert standin.requests[0].model == "other"


def test_sampling_arguments_reach_the_request_those_of_the_call_before_those_of_the_backend(
    server: Start,
) -> None:
    standin = server(lambda _: "fine")

    async def run() -> None:
        backend_kwargs = {
            "model_name": "m",
            "base_url": standin.base_url,
            "sampling_args": {"temperature": 0.5, "top_p": 0.9, "seed": None},
        }
        more = {"temperature": 0.1, "max_tokens": 5, "extra_body": {"guided_regex": "a"}}
        client = create("vllm", backend_kwargs, more)
        await client.complete(HELLO)
        await client.close()

    asyncio.run(run())
    body = standin.requests[0].body
    assert body["temperature"] == 0.1
    assert body["top_p"] == 0.9
    assert body["max_tokens"] == 5
    assert body["guided_regex"] == "a"
    assert "seed" not in body


def test_openai_models_get_max_tokens_under_its_newer_name(server: Start) -> None:
    standin = server(lambda _: "fine")
    ask(standin, backend="openai", sampling_args={"max_tokens": 5})
    assert standin.requests[0].body["max_completion_tokens"] == 5
    assert "max_tokens" not in standin.requests[0].body


def test_anthropic_gets_messages_in_its_format(server: Start) -> None:
    standin = server(lambda _: "fine")
    pixel = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    linked = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    messages: list[Message] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "two"}, pixel, linked]},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "three"},
        {"role": "developer", "content": "And kind."},
        {"role": "user", "content": "four"},
    ]
    ask(
        standin,
        backend="anthropic",
        messages=messages,
        sampling_args={"stop": "END", "max_completion_tokens": 9},
    )
    body = standin.requests[0].body
    assert body["system"] == "Be brief.\n\nAnd kind."
    assert body["max_tokens"] == 9
    assert body["stop_sequences"] == ["END"]
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two"},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"},
        },
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    ]


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("claude-3-haiku-20240307", 4096), ("claude-opus-4-1", 32_000), ("claude-opus-5", 32_768)],
)
def test_anthropic_is_given_a_limit_that_the_model_takes(
    server: Start, model: str, tokens: int
) -> None:
    standin = server(lambda _: "fine")
    ask(standin, backend="anthropic", model=model)
    assert standin.requests[0].body["max_tokens"] == tokens


def test_cached_input_counts_as_input(server: Start) -> None:
    usage = {
        "input_tokens": 1,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 300,
        "output_tokens": 5,
    }
    raw = json.dumps({"content": [{"type": "text", "text": "a"}], "usage": usage}).encode()
    reply = ask(server(lambda _: LMResponse(raw=raw)), backend="anthropic")
    assert reply.usage == CallUsage(input_tokens=321, output_tokens=5)


@WAYS
@BOTH
def test_calls_share_their_connections(server: Start, backend: str, stream: bool) -> None:
    seen: set[int] = set()

    def reply(_: LMRequest) -> str:
        seen.add(standin.connections)
        return "fine"

    standin: StandInServer = server(reply)
    ask(standin, backend=backend, stream=stream, times=5)
    assert seen == {1}


def test_a_hundred_calls_at_once_are_all_answered(server: Start) -> None:
    standin = server(lambda request: request.prompt)

    async def run() -> list[LMReply]:
        client = create("vllm", {"model_name": "m", "base_url": standin.base_url})
        prompts = [[{"role": "user", "content": str(n)}] for n in range(100)]
        replies = await asyncio.gather(*(client.complete(p) for p in prompts))
        await client.close()
        return replies

    assert [reply.text for reply in asyncio.run(run())] == [str(n) for n in range(100)]


@BOTH
@WAYS
def test_secrets_in_sampling_arguments_stay_hidden_when_a_provider_quotes_them(
    server: Start, backend: str, *, stream: bool
) -> None:
    quoted = "no: hidden-header, hidden-body, hidden-query%2F1"
    standin = server(lambda _: LMResponse(status=400, text=quoted))
    hidden = {
        "extra_headers": {"X-Tenant": "hidden-header"},
        "extra_body": {"provider": {"api_key": "hidden-body"}},
        "extra_query": {"tenant": "hidden-query/1"},
    }

    async def run() -> None:
        given = {"model_name": "m", "base_url": standin.base_url, "api_key": "sk-very-secret"}
        client = create(backend, given, hidden)
        try:
            await client.complete(HELLO, stream=stream)
        finally:
            await client.close()

    with pytest.raises(BackendError) as caught:
        asyncio.run(run())
    assert "no: ***, ***, ***" in str(caught.value)
