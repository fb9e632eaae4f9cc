"""The stand-in server's requests and responses, in the JSON of the OpenAI and Anthropic APIs.

Sources: OpenAI's chat completions reference, Anthropic's messages reference.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CHARACTERS_PER_TOKEN = 4

PIECES = 4
"""The most pieces of a streamed reply: several, but few, so that they are cheap to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LMRequest:
    """One request that a client sent.

    Attributes:
        path: The path with its query.
        headers: Lower-case name to value.
        messages: The chat; a separate system prompt (Anthropic) comes first.
        model: The model asked for.
        stream: Whether the client asked for a stream.
        body: The parsed JSON body, unchanged.
    """

    path: str
    headers: dict[str, str]
    messages: list[dict[str, Any]]
    model: str
    stream: bool
    body: dict[str, Any]

    @property
    def is_root(self) -> bool:
        """Whether a run asks for its next turn: only such a request has a system prompt."""
        return bool(self.messages) and self.messages[0].get("role") in {"system", "developer"}

    @property
    def turn(self) -> int:
        """The number of the turn that a run asks for, from 1: the replies in the chat plus one."""
        return 1 + len([m for m in self.messages if m.get("role") == "assistant"])

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        return message_text(self.messages[-1]) if self.messages else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LMResponse:
    """What the server answers, including faults.

    Attributes:
        text: The reply; None is sent as null. With a `status` of 400 or more, the error's message.
        status: The HTTP status.
        headers: Further headers, such as ``{"retry-after": "1"}``.
        usage: Tokens (in, out); None counts characters / 4.
        report_usage: False leaves out the usage, as some servers do.
        cost: USD, sent as `usage.cost` (OpenRouter's field); None leaves it out.
        raw: The body, sent verbatim instead of all that.
        finish_reason: OpenAI's value; Anthropic's follows from it.
        error_code: The error's `code`, such as ``"context_length_exceeded"``.
        cut_after: Bytes of the body after which the connection closes; 0: before the head.
        delay: Seconds to wait before the reply.
        pause: Seconds to wait between the pieces of a streamed reply.
    """

    text: str | None = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    usage: tuple[int, int] | None = None
    report_usage: bool = True
    cost: float | None = None
    raw: bytes | None = None
    finish_reason: str = "stop"
    error_code: str | None = None
    cut_after: int | None = None
    delay: float = 0.0
    pause: float = 0.0


def message_text(message: Mapping[str, Any]) -> str:
    """Return a chat message's text, whether its content is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return ""


def parse(path: str, headers: dict[str, str], raw: bytes) -> LMRequest:
    """Read a request's body, or raise a ValueError."""
    body = json.loads(raw)
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list):
        raise ValueError("the body must be a JSON object with a list of messages")  # noqa: TRY004 - one error for every mistake of a client
    if body.get("system"):
        messages = [{"role": "system", "content": body["system"]}, *messages]
    return LMRequest(
        path=path,
        headers=headers,
        messages=messages,
        model=str(body.get("model", "")),
        stream=bool(body.get("stream")),
        body=body,
    )


def is_anthropic(path: str) -> bool:
    """Whether a path is that of the messages API."""
    return path.partition("?")[0].endswith("/messages")


def render(request: LMRequest, response: LMResponse) -> tuple[str, list[bytes]]:
    """Return a response's content type, and its body: several pieces for a stream, else one."""
    if response.raw is not None:
        kind = "text/event-stream" if request.stream else "application/json"
        return kind, [response.raw]
    anthropic = is_anthropic(request.path)
    if response.status >= 400:  # noqa: PLR2004 - HTTP's own number
        return error(response.text or "", code=response.error_code, anthropic=anthropic)
    if request.stream:
        events = _anthropic_events if anthropic else _openai_events
        return "text/event-stream", events(request, response)
    plain = _anthropic_plain if anthropic else _openai_plain
    return "application/json", [_json(plain(request, response))]


def error(message: str, *, code: str | None = None, anthropic: bool) -> tuple[str, list[bytes]]:
    """Return the content type and body of a provider's error."""
    body: dict[str, Any] = {"error": {"message": message, "type": code or "error", "code": code}}
    if anthropic:
        body = {"type": "error", "error": {"type": code or "api_error", "message": message}}
    return "application/json", [_json(body)]


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _tokens(request: LMRequest, response: LMResponse) -> tuple[int, int]:
    if response.usage is not None:
        return response.usage
    asked = sum(len(message_text(message)) for message in request.messages)
    said = len(response.text or "")
    return -(-asked // CHARACTERS_PER_TOKEN), -(-said // CHARACTERS_PER_TOKEN)


def _pieces(text: str) -> Sequence[str]:
    size = max(1, -(-len(text) // PIECES))
    return [text[start : start + size] for start in range(0, len(text), size)]


def _openai_usage(request: LMRequest, response: LMResponse) -> dict[str, Any]:
    asked, said = _tokens(request, response)
    usage: dict[str, Any] = {
        "prompt_tokens": asked,
        "completion_tokens": said,
        "total_tokens": asked + said,
    }
    if response.cost is not None:
        usage["cost"] = response.cost
    return usage


def _openai_plain(request: LMRequest, response: LMResponse) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": "chatcmpl-stand-in",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": response.text},
                "finish_reason": response.finish_reason,
            }
        ],
    }
    if response.report_usage:
        body["usage"] = _openai_usage(request, response)
    return body


def _openai_events(request: LMRequest, response: LMResponse) -> list[bytes]:
    chunk: dict[str, Any] = {
        "id": "chatcmpl-stand-in",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": request.model,
    }
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in _pieces(response.text or "")]
    chunks = [
        {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    end = {"index": 0, "delta": {}, "finish_reason": response.finish_reason}
    chunks.append({**chunk, "choices": [end]})
    options = request.body.get("stream_options") or {}
    if options.get("include_usage") and response.report_usage:
        chunks.append({**chunk, "choices": [], "usage": _openai_usage(request, response)})
    return [b"data: " + _json(one) + b"\n\n" for one in chunks] + [b"data: [DONE]\n\n"]


def _anthropic_plain(request: LMRequest, response: LMResponse) -> dict[str, Any]:
    asked, said = _tokens(request, response)
    body: dict[str, Any] = {
        "id": "msg_stand_in",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [{"type": "text", "text": response.text}] if response.text else [],
        "stop_reason": _stop_reason(response),
        "stop_sequence": None,
    }
    if response.report_usage:
        body["usage"] = {"input_tokens": asked, "output_tokens": said}
    return body


def _anthropic_events(request: LMRequest, response: LMResponse) -> list[bytes]:
    asked, said = _tokens(request, response)
    start = _anthropic_plain(request, response) | {"content": [], "stop_reason": None}
    if response.report_usage:
        start["usage"] = {"input_tokens": asked, "output_tokens": 1}
    block = {"type": "text", "text": ""}
    end: dict[str, Any] = {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(response), "stop_sequence": None},
    }
    if response.report_usage:
        end["usage"] = {"output_tokens": said}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    events.append({"type": "content_block_start", "index": 0, "content_block": block})
    events += [
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": piece},
        }
        for piece in _pieces(response.text or "")
    ]
    events += [{"type": "content_block_stop", "index": 0}, end, {"type": "message_stop"}]
    return [
        b"event: " + str(event["type"]).encode() + b"\ndata: " + _json(event) + b"\n\n"
        for event in events
    ]


def _stop_reason(response: LMResponse) -> str:
    return "max_tokens" if response.finish_reason == "length" else "end_turn"
