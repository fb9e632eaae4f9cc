"""Keeps a long run within its model's context window: the model summarises the chat."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rlm.core.prompts import SUMMARY_REQUEST, compacted
from rlm.errors import ContextWindowError
from rlm.events import ModelReply, Note

if TYPE_CHECKING:
    from rlm.backends.base import ModelSpec
    from rlm.core.chat_history import ChatHistory
    from rlm.core.tree import Tree
    from rlm.events import Message

_KEPT = 2
"""The system prompt and the question are never summarised."""

_LEAST_CHARACTERS = 6.0
"""Characters per token at most: a lower bound where a provider counts too few tokens."""


def is_possible(chat: ChatHistory) -> bool:
    """Whether the chat has more than the question and a summary."""
    return len(chat.messages) > _KEPT + 3


def is_due(tree: Tree, model: ModelSpec, chat: ChatHistory) -> bool:
    """Whether the chat has reached the threshold of a known window."""
    window = tree.models.window(model)
    if window is None or not is_possible(chat):
        return False
    per_token = chat.characters / max(1, tree.models.tokens(chat.characters))
    tokens = max(chat.tokens(max(per_token, 1.0)), chat.characters / _LEAST_CHARACTERS)
    return tokens >= tree.config.compaction_threshold_pct * window


async def compact(tree: Tree, model: ModelSpec, chat: ChatHistory, *, count: int) -> Message:
    """Replace the chat by the model's own summary of it, and return the summary's message.

    A chat that is too long even to be summarised loses its older half first.

    Args:
        tree: The run's tree.
        model: The run's model.
        chat: Compacted in place.
        count: The number of this compaction in the run; 1 for the first.

    Raises:
        ContextWindowError: The question alone is too long for the model.
        BackendError: The model failed.
    """
    before = len(chat.messages)
    head, rest = chat.messages[:_KEPT], chat.messages[_KEPT:]
    while True:
        began = time.perf_counter()
        request: list[Message] = [*head, *rest, {"role": "user", "content": SUMMARY_REQUEST}]
        try:
            reply = await tree.models.ask(model, request)
        except ContextWindowError:
            if not rest:
                raise
            rest = rest[(len(rest) + 1) // 2 :]
        else:
            break
    tree.recorder.emit(
        ModelReply,
        model=reply.model,
        text=reply.text,
        usage=reply.usage,
        duration=time.perf_counter() - began,
        finish_reason=reply.finish_reason,
        purpose="compaction",
        reasoning=reply.reasoning,
    )
    summary = reply.text.strip() or "(I wrote no summary.)"
    chat.replace(compacted(chat.messages, summary, count), kept=_KEPT)
    tree.recorder.emit_child(
        None,
        Note,
        kind="compaction",
        text=f"The conversation was compacted: {before} messages became {len(chat.messages)}.",
        data={"before": before, "after": len(chat.messages), "count": count},
    )
    tree.limits.check()
    return {"role": "assistant", "content": summary}
