"""Reads replies in the format of OpenAI's chat completions API, whole or streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlm.events import CallUsage

if TYPE_CHECKING:
    from collections.abc import Mapping


class MalformedReplyError(ValueError):
    """A reply breaks the API's format; the message says how."""


class InBandError(Exception):
    """A reply with status 200 whose body is an error.

    Attributes:
        status: The status that its code or type stands for, or 500.
        body: The error's body.
    """

    def __init__(self, body: dict[str, Any], statuses: Mapping[str, int]) -> None:
        super().__init__("an error inside a reply")
        self.body = body
        error = body["error"] if isinstance(body["error"], dict) else {}
        code = statuses.get(str(error.get("type")), error.get("code"))
        self.status = code if isinstance(code, int) and 400 <= code < 600 else 500  # noqa: PLR2004 - HTTP's error range


def checked_object(data: Any, statuses: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return a whole reply or one event of a stream, which must be a JSON object and no error.

    Args:
        data: The parsed JSON.
        statuses: The HTTP status by the type of an error.

    Raises:
        MalformedReplyError: It is no object.
        InBandError: It is an error.
    """
    if not isinstance(data, dict):
        raise MalformedReplyError(f"a JSON object was expected, not {type(data).__name__}.")
    if data.get("error"):
        raise InBandError(data, statuses or {})
    return data


def read_completion(data: Any) -> tuple[str, CallUsage, str | None]:
    """Return a whole reply's text, usage and finish reason."""
    choice = _first_choice(checked_object(data))
    if choice is None:
        raise MalformedReplyError("it has no 'choices'.")
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    text = content_text(message.get("content"))
    if not text:
        text = content_text(message.get("refusal")) or content_text(choice.get("text"))
    return text, read_usage(data.get("usage")), _text_or_none(choice.get("finish_reason"))


class StreamedReply:
    """The part of a streamed reply that has arrived."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.complete = False
        self.usage = CallUsage()
        self._parts: list[str] = []
        self._refusal: list[str] = []

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts) or "".join(self._refusal)

    def add(self, chunk: Any) -> None:
        """Add one chunk."""
        chunk = checked_object(chunk)
        if chunk.get("usage"):
            self.usage = read_usage(chunk["usage"])
        choice = _first_choice(chunk)
        if choice is None:
            # The chunk with the usage is the last one, and has no choice.
            self.complete = self.complete or (bool(chunk.get("usage")) and bool(self._parts))
            return
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._parts.append(content_text(delta.get("content")))
            self._refusal.append(content_text(delta.get("refusal")))
        reason = _text_or_none(choice.get("finish_reason"))
        if reason is not None:
            self.finish_reason = reason
            self.complete = True


def _first_choice(data: dict[str, Any]) -> dict[str, Any] | None:
    choices = data.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else None


def content_text(content: Any) -> str:
    """Return the text of a message's content: a string, null, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(
            part if isinstance(part, str) else content_text(part.get("text") or part.get("refusal"))
            for part in content
            if isinstance(part, (str, dict))
        )
    return ""


def read_usage(usage: Any) -> CallUsage:
    """Return the reported tokens and cost; None for what is not reported."""
    if not isinstance(usage, dict):
        return CallUsage()
    return CallUsage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cost=_cost(usage),
    )


def _cost(usage: dict[str, Any]) -> float | None:
    """Return the cost in USD (OpenRouter's usage accounting, which other gateways copied)."""
    cost = _amount(usage.get("cost"))
    details = usage.get("cost_details")
    upstream = (
        _amount(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    )
    if upstream is not None and (usage.get("is_byok") or not cost):
        # When the user brings the provider's key, `cost` is only the gateway's fee.
        return (cost or 0.0) + upstream
    return cost


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _amount(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        return None
    return float(value)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
