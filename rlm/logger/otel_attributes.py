"""Attributes of spans in the shapes of the semantic conventions for generative AI."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.events import CallUsage, Message


def usage_told(usage: CallUsage) -> dict[str, Any]:
    """Return what one call took, as attributes.

    Args:
        usage: Figures that are None are not known.
    """
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "rlm.usage.cost": usage.cost,
    }


def summary_told(usage: dict[str, Any]) -> dict[str, Any]:
    """Return what a run with its descendants took, as attributes.

    Args:
        usage: `UsageSummary.to_dict()`; of a log that was read, perhaps empty.
    """
    summaries = usage.get("model_usage_summaries")
    models = list(summaries.values()) if isinstance(summaries, dict) else []
    found: dict[str, Any] = {"rlm.usage.cost": usage.get("total_cost")}
    for name in ("input_tokens", "output_tokens") if models else ():
        counts = (each.get(f"total_{name}") for each in models if isinstance(each, dict))
        found[f"gen_ai.usage.{name}"] = sum(n for n in counts if isinstance(n, int))
    return found


def messages_told(messages: list[Message]) -> str:
    """Return chat messages as JSON; parts other than text are only named.

    Args:
        messages: In OpenAI's shape.
    """
    return to_json([_message(message) for message in messages])


def _message(message: Message) -> dict[str, Any]:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    told = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else "text"
        if kind == "text":
            text = part.get("text") if isinstance(part, dict) else part
            told.append(
                {"type": "text", "content": text if isinstance(text, str) else to_json(text)}
            )
        else:
            told.append({"type": str(kind)})
    return {"role": str(message.get("role")), "parts": told}


def reply_told(text: Any, reason: str | None) -> str:
    """Return a reply as JSON.

    Args:
        text: What was replied.
        reason: Why it ended, in the provider's words; ``"stop"`` when it did not say.
    """
    content = text if isinstance(text, str) else to_json(text)
    parts = [{"type": "text", "content": content}]
    return to_json([{"role": "assistant", "parts": parts, "finish_reason": reason or "stop"}])


def to_json(value: Any) -> str:
    """Return a value as JSON; what is none is named.

    Args:
        value: JSON values.
    """
    return json.dumps(value, ensure_ascii=False, default=repr)
