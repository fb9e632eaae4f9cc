"""One run: ask the model, find its code, execute it, until it answers.

This is Algorithm 1 of "Recursive Language Models" (Zhang, Kraska, Khattab, 2025): the context lives
in the REPL, the model sees only what its code shows, and its code may call models itself.

Here are the algorithm's steps, and the lines of `run` that take them:

    state <- InitREPL(prompt), with sub_RLM in it     `_open_repl`, `SubCallHandler`
    hist <- [Metadata(state)]                         `Chat(tree, spec, kept)`
    code <- LLM(hist)                                 `chat.ask`, `chat.read`
    (state, stdout) <- REPL(state, code)              `repl.execute`
    hist <- hist + code + Metadata(stdout)            `chat.read`, `chat.show`
    if state[Final] is set: return state[Final]       `chat.answer`
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

from rlm.core.chat import Chat
from rlm.core.context_note import context_noted
from rlm.core.kernels import forked_kernel
from rlm.core.limits import ErrorStreak
from rlm.core.loop import uncancellable
from rlm.core.model_calls import count_characters
from rlm.core.repl import Repl
from rlm.core.run_events import run_events, turn_events
from rlm.core.subcalls import SubCallHandler, as_messages
from rlm.live_runs import registered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractContextManager

    from rlm.backends.base import LMReply
    from rlm.core.kernels import KeptKernel
    from rlm.core.repl import Cell
    from rlm.core.tree import RunSpec, Tree
    from rlm.events import RunStatus


async def run(tree: Tree, spec: RunSpec, *, kept: KeptKernel | None = None) -> str:
    """Ask, find code, execute it, done? From the first turn to the final answer.

    Args:
        tree: What the run shares with all runs of its tree.
        spec: The run's context, question and model.
        kept: The kernel of a persistent RLM; None: a new kernel.

    Raises:
        RLMError: The run ended without an answer.
    """
    chat = Chat(tree, spec, kept)
    failures = ErrorStreak(threshold=tree.config.max_errors)
    status: RunStatus
    with run_events(tree, spec, chat.best_answer) as finish:
        # The REPL has the context, and `llm_query` and `rlm_query`, which come back to this loop.
        async with _open_repl(tree, spec, kept) as repl:
            for number in range(1, tree.config.max_iterations + 1):
                with chat.turn(number) as turn:  # Adds the turn's prompt to the chat.
                    reply = await chat.ask(repl)
                    if reply is None:  # The chat was too long: it was compacted instead.
                        continue
                    parsed = chat.read(reply)
                    cells = await repl.execute_blocks(parsed.blocks, number, chat.note_draft)
                    turn.answer = await chat.answer(parsed, cells, repl)
                    if turn.answer is not None:
                        status, answer = "answered", turn.answer
                        break
                    await chat.show(cells, repl)
                    failures.turn(_failure(reply, cells))  # Raises at `max_errors`.
            else:
                status, answer = "exhausted", await chat.ask_for_final_answer(repl)
            if kept is not None and not tree.config.compaction:
                await kept.remember(chat.messages)
        finish(status, answer)
    return answer


async def run_single_call(tree: Tree, spec: RunSpec) -> str:
    """Ask the model once, with the context as its prompt: a run at `depth >= max_depth`.

    Raises:
        RLMError: The model failed, or a limit was reached.
    """
    recorder = tree.recorder
    messages = as_messages(spec.context)
    if spec.root_prompt:
        question = f"Answer the following: {spec.root_prompt}"
        messages = [*messages, {"role": "user", "content": question}]
    text: str | None = None
    with run_events(tree, spec, lambda: text) as finish:
        news = tuple(messages)
        with turn_events(recorder, number=1, of=1, kept=0, messages=news) as turn:
            began = time.perf_counter()
            tree.models.require_fit(spec.model, count_characters(messages))
            reply = await tree.models.ask(spec.model, messages, on_retry=recorder.note_retry)
            recorder.emit_reply(reply, began)
            text = reply.text
            tree.limits.check()
            turn.answer = text
        finish("answered", text)
    return text


@asynccontextmanager
async def _open_repl(tree: Tree, spec: RunSpec, kept: KeptKernel | None) -> AsyncIterator[Repl]:
    """Open a REPL with the run's context in it; when it closes, its sub-calls have ended."""
    if kept is None and spec.depth == tree.config.depth:
        await tree.sandbox.start()
    known = spec.info.fingerprint is not None
    async with context_noted(tree.recorder, known=known) as on_context:
        subcalls = SubCallHandler(tree, spec, run)
        kernel = (
            forked_kernel(tree.config, tree.sandbox, spec, subcalls, on_context)
            if kept is None
            else kept.lent(tree.config, spec, subcalls, on_context)
        )
        async with kernel as session:
            with _live_run(tree, spec, session.connection_file) as on_restart:
                try:
                    yield Repl(tree, session, subcalls, on_restart)
                finally:
                    session.on_typed = None
                    await uncancellable(subcalls.close())


def _live_run(
    tree: Tree, spec: RunSpec, connection_file: str
) -> AbstractContextManager[Callable[[str], None] | None]:
    """List a root run among the live runs while its REPL is open; a child is not listed."""
    if spec.depth != tree.config.depth:
        return nullcontext()
    return registered(
        tree.recorder.run_id,
        question=spec.root_prompt or spec.info.preview,
        model=spec.model.name,
        environment=tree.config.environment,
        connection_file=connection_file,
    )


def _failure(reply: LMReply, cells: Sequence[Cell]) -> str | None:
    """Return how a turn failed; None when it did not."""
    if not reply.text.strip():
        return "the model sent an empty reply"
    return next((cell.error for cell in cells if cell.error is not None), None)
