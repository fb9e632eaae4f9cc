"""Keeps a long run within its model's context window: the model summarises the chat."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rlm.core.prompts import SUMMARY_REQUEST, compacted
from rlm.errors import ContextWindowError
from rlm.events import Note

if TYPE_CHECKING:
    from rlm.backends.base import ModelSpec
    from rlm.core.chat_history import ChatHistory
    from rlm.core.tree import Tree
    from rlm.events import Message

_KEPT = 2
"""The system prompt and the question are never summarised."""

_MOST_CHARACTERS = 6.0
"""The most characters per token; a provider that counts fewer tokens is not believed."""


def is_possible(chat: ChatHistory) -> bool:
    """Whether there is more to summarise than an earlier summary."""
    return len(chat.messages) > _KEPT + 3


def is_due(tree: Tree, model: ModelSpec, chat: ChatHistory) -> bool:
    """Whether the chat has reached the threshold of a known window."""
    window = tree.models.window(model)
    if window is None or not is_possible(chat):
        return False
    per_token = chat.characters / max(1, tree.models.tokens(chat.characters))
    tokens = max(chat.tokens(max(per_token, 1.0)), chat.characters / _MOST_CHARACTERS)
    return tokens >= tree.config.compaction_threshold_pct * window


async def compact(tree: Tree, model: ModelSpec, chat: ChatHistory, *, count: int) -> Message:
    """Replace the chat by the model's summary of it, and return the summary's message.

    A chat that is too long even for that loses its older half first. `count` is 1 for the run's
    first compaction.

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
    tree.recorder.emit_reply(reply, began, "compaction")
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
