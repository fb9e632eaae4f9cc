"""Keeping a long run within its model's window: the model sums up, and goes on from there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rlm.core.prompts import SUMMARY_REQUEST, compacted
from rlm.errors import ContextWindowError
from rlm.events import ModelReply, Note

if TYPE_CHECKING:
    from rlm.core.chat_history import ChatHistory
    from rlm.core.config import ModelSpec
    from rlm.core.tree import Tree
    from rlm.events import Message

_KEPT = 2
"""The system prompt and the question are never summed up."""

_LEAST_CHARACTERS = 6.0
"""A token has at most so many characters: a lower bound where a provider counts too few."""


def is_possible(conversation: ChatHistory) -> bool:
    """Whether there is more in the conversation than the question and a summary."""
    return len(conversation.messages) > _KEPT + 3


def is_due(tree: Tree, spec: ModelSpec, conversation: ChatHistory) -> bool:
    """Whether the conversation has reached the threshold of a known window."""
    window = tree.models.window(spec)
    if window is None or not is_possible(conversation):
        return False
    per_token = conversation.characters / max(1, tree.models.tokens(conversation.characters))
    tokens = max(
        conversation.tokens(max(per_token, 1.0)), conversation.characters / _LEAST_CHARACTERS
    )
    return tokens >= tree.config.compaction_threshold_pct * window


async def compact(tree: Tree, spec: ModelSpec, conversation: ChatHistory, *, count: int) -> Message:
    """Replace the conversation by the model's own summary of it.

    A conversation that is too long even to be summed up loses its older half first.

    Args:
        tree: The run's tree.
        spec: The run's model.
        conversation: What is compacted, in place.
        count: How many times it has been, this time included.

    Returns:
        The message that holds the summary.

    Raises:
        ContextWindowError: The question alone is too long for the model.
        BackendError: The model failed.
    """
    before = len(conversation.messages)
    head, rest = conversation.messages[:_KEPT], conversation.messages[_KEPT:]
    while True:
        began = time.perf_counter()
        request: list[Message] = [*head, *rest, {"role": "user", "content": SUMMARY_REQUEST}]
        try:
            reply = await tree.models.ask(spec, request)
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
    conversation.replace(compacted(conversation.messages, summary, count), kept=_KEPT)
    tree.recorder.emit_child(
        None,
        Note,
        kind="compaction",
        text=f"The conversation was compacted: {before} messages became "
        f"{len(conversation.messages)}.",
        data={"before": before, "after": len(conversation.messages), "count": count},
    )
    tree.limits.check()
    return {"role": "assistant", "content": summary}
