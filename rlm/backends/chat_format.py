"""Reads replies in the format of OpenAI's chat completions API, whole or streamed."""

from __future__ import annotations

from typing import Any

from rlm.events import CallUsage


class MalformedReplyError(ValueError):
    """A reply lacks a part that the API promises; the message says which."""


class InBandError(Exception):
    """A reply with status 200 whose body is an error.

    Attributes:
        status: The status that it names, or 500.
        body: The error's body.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__("an error inside a reply")
        self.body = body
        error = body.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        self.status = code if isinstance(code, int) and 400 <= code < 600 else 500  # noqa: PLR2004 - HTTP's error range


def read_completion(data: Any) -> tuple[str, CallUsage, str | None]:
    """Return a whole reply's text, usage and finish reason.

    Raises:
        MalformedReplyError: It has no choice.
        InBandError: Its body is an error, whatever its status.
    """
    if not isinstance(data, dict):
        raise MalformedReplyError(f"a JSON object was expected, not {type(data).__name__}.")
    if data.get("error"):
        raise InBandError(data)
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise MalformedReplyError("it has no 'choices'.")
    choice = choices[0]
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    text = content_text(message.get("content"))
    if not text:
        text = content_text(message.get("refusal")) or content_text(choice.get("text"))
    return text, read_usage(data.get("usage")), _text_or_none(choice.get("finish_reason"))


class StreamedReply:
    """A streamed reply, so far.

    Attributes:
        finish_reason: The provider's value, once it has arrived.
        complete: Whether its end has arrived.
        usage: Tokens and cost, once they have arrived.
    """

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
        """Add one chunk.

        Raises:
            MalformedReplyError: The chunk is no object.
            InBandError: The provider reports an error in the middle of the stream.
        """
        if not isinstance(chunk, dict):
            raise MalformedReplyError(f"a chunk is {type(chunk).__name__}, not an object.")
        if chunk.get("error"):
            raise InBandError(chunk)
        if chunk.get("usage"):
            self.usage = read_usage(chunk["usage"])
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            # The chunk with the usage is the last one, and has no choice.
            self.complete = self.complete or (bool(chunk.get("usage")) and bool(self._parts))
            return
        choice = choices[0]
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._parts.append(content_text(delta.get("content")))
            self._refusal.append(content_text(delta.get("refusal")))
        reason = _text_or_none(choice.get("finish_reason"))
        if reason is not None:
            self.finish_reason = reason
            self.complete = True


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
    """Return the cost in USD (OpenRouter's usage accounting; others have taken up its fields)."""
    cost = _amount(usage.get("cost"))
    details = usage.get("cost_details")
    upstream = (
        _amount(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    )
    if upstream is not None and (usage.get("is_byok") or not cost):
        # With a key of the user's own, `cost` is the gateway's fee alone.
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
