"""A run at `depth >= max_depth`: one plain LM call, told like any other run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rlm.core.model_calls import count_characters
from rlm.core.run import told
from rlm.core.subcalls import as_messages
from rlm.events import ModelReply, Note, TurnFinished, TurnStarted

if TYPE_CHECKING:
    from typing import Any

    from rlm.core.tree import RunSpec, Tree


async def run_single_call(tree: Tree, assignment: RunSpec) -> str:
    """Ask the model once, with the context as its prompt.

    Args:
        tree: The run's tree; it has no sandbox.
        assignment: The run's.

    Raises:
        RLMError: The model failed, or a limit was reached.
    """
    recorder, spec = tree.recorder, assignment.model
    messages = as_messages(assignment.context)
    if assignment.root_prompt:
        question = f"Answer the following: {assignment.root_prompt}"
        messages = [*messages, {"role": "user", "content": question}]

    def retried(text: str, data: dict[str, Any]) -> None:
        recorder.emit_child(None, Note, kind="retry", text=text, data=data)

    with told(tree, assignment) as end, recorder.span():
        began, answer = time.perf_counter(), None
        recorder.emit(TurnStarted, number=1, of=1, kept=0, messages=tuple(messages))
        try:
            tree.models.require_fit(spec, count_characters(messages))
            reply = await tree.models.ask(spec, messages, on_retry=retried)
            recorder.emit(
                ModelReply,
                model=reply.model,
                text=reply.text,
                usage=reply.usage,
                duration=time.perf_counter() - began,
                finish_reason=reply.finish_reason,
                reasoning=reply.reasoning,
            )
            end.partial = lambda: reply.text
            tree.limits.check()
            answer = reply.text
        finally:
            recorder.emit(
                TurnFinished,
                number=1,
                final_answer=answer,
                duration=time.perf_counter() - began,
            )
        end.status, end.answer = "answered", answer
    return answer
