"""Converts messages from OpenAI's shape for Anthropic's messages API, and reads its replies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rlm.backends.chat_format import MalformedReplyError, checked_object, content_text
from rlm.events import CallUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm.events import Message

MAX_TOKENS = 32_768
"""Default limit of a reply's tokens; the API requires one."""

# Models that cannot write that many. Source: Anthropic's models overview.
_SHORTER = (
    (re.compile(r"claude-3-(opus|sonnet|haiku)"), 4_096),
    (re.compile(r"claude-3-5"), 8_192),
    (re.compile(r"claude-opus-4(-[01]\b|-2025|@2025|$)"), 32_000),
)
_DATA_URL = re.compile(r"data:(?P<kind>[\w.+-]+/[\w.+-]+);base64,(?P<data>.*)", re.DOTALL)

# Source: Anthropic's API reference, "Errors".
_STATUS = {
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def default_max_tokens(model: str) -> int:
    """Return the limit of a reply's tokens for a model, when the user gives none."""
    return next((limit for pattern, limit in _SHORTER if pattern.search(model)), MAX_TOKENS)


def convert(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """Return the system prompt, and the other messages as the API takes them.

    Joins all system messages, joins consecutive messages of one role, drops empty ones, and
    converts images.
    """
    system: list[str] = []
    turns: list[Message] = []
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role in {"system", "developer"}:
            system.append(content_text(content))
            continue
        role = "assistant" if role == "assistant" else "user"
        blocks = _blocks(content)
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": role, "content": blocks})
    if not turns or turns[0]["role"] == "assistant":
        # The API requires that the user speaks first.
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": "Go on."}]})
    if turns[-1]["role"] == "assistant" and "text" in (last := turns[-1]["content"][-1]):
        last["text"] = last["text"].rstrip()  # the API refuses white space at the end
    return "\n\n".join(text for text in system if text.strip()), turns


def _blocks(content: Any) -> list[dict[str, Any]]:
    parts = content if isinstance(content, list) else [content]
    return [block for block in map(_block, parts) if block is not None]


def _block(part: Any) -> dict[str, Any] | None:
    if isinstance(part, str):
        return {"type": "text", "text": part} if part.strip() else None
    if not isinstance(part, dict):
        return None
    if part.get("type") in {"text", "input_text", "output_text"}:
        return _block(part.get("text"))
    if part.get("type") not in {"image_url", "input_image"}:
        return dict(part)  # in the API's shape already; if not, the API refuses it
    image = part.get("image_url")
    url = str(image.get("url") if isinstance(image, dict) else image)
    found = _DATA_URL.fullmatch(url)
    if found is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    source = {"type": "base64", "media_type": found["kind"], "data": found["data"]}
    return {"type": "image", "source": source}


def read_message(data: Any) -> tuple[str, CallUsage, str | None]:
    """Return a whole reply's text, usage and stop reason."""
    data = checked_object(data, _STATUS)
    if "content" not in data:
        raise MalformedReplyError("it has no 'content'.")
    reason = data.get("stop_reason")
    text = "".join(
        block["text"]
        for block in data["content"] or ()
        if isinstance(block, dict)
        and block.get("type") == "text"
        and isinstance(block.get("text"), str)
    )
    return text, _usage(data.get("usage")), reason if isinstance(reason, str) else None


class StreamedMessage:
    """The part of a streamed reply that has arrived."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.complete = False
        self._parts: list[str] = []
        self._counts: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)

    @property
    def usage(self) -> CallUsage:
        """Tokens so far."""
        return _usage(self._counts)

    def add(self, event: Any) -> None:
        """Add one event."""
        event = checked_object(event, _STATUS)
        kind = event.get("type")
        delta = event.get("delta") or {}
        if kind == "message_start":
            self._count((event.get("message") or {}).get("usage"))
        elif kind == "content_block_start":
            block = event.get("content_block") or {}
            self._parts.append(block.get("text") or "" if block.get("type") == "text" else "")
        elif kind == "content_block_delta" and delta.get("type") == "text_delta":
            self._parts.append(delta.get("text") or "")
        elif kind == "message_delta":
            self.finish_reason = delta.get("stop_reason")
            self._count(event.get("usage"))
        elif kind == "message_stop":
            self.complete = True

    def _count(self, usage: Any) -> None:
        # The API sends running totals: keep the last value of each.
        if isinstance(usage, dict):
            self._counts |= {name: value for name, value in usage.items() if value is not None}


def _usage(usage: Any) -> CallUsage:
    """Add up input tokens: the API reports fresh, cache-written and cache-read ones separately."""
    if not isinstance(usage, dict):
        return CallUsage()
    read = [
        usage.get(name)
        for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    ]
    counts = [count for count in read if isinstance(count, int)]
    output = usage.get("output_tokens")
    return CallUsage(
        input_tokens=sum(counts) if counts else None,
        output_tokens=output if isinstance(output, int) else None,
    )
