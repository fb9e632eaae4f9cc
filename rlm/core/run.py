"""One run: ask the model, find its code, run it, until it answers.

This is Algorithm 1 of "Recursive Language Models" (Zhang, Kraska, Khattab, 2025): the context
lives in the REPL, the model sees what its code shows, and its code may call models in turn.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlm.core.chat import Chat
from rlm.core.fingerprint import fingerprint_told
from rlm.core.kernels import forked_kernel
from rlm.core.limits import ErrorStreak
from rlm.core.loop import uncancellable
from rlm.core.repl import Repl, StoppedByUserError
from rlm.core.subcalls import SubCalls
from rlm.errors import ErrorThresholdExceededError, LimitExceededError
from rlm.events import Note, RunFinished, RunStarted
from rlm.live_runs import registered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from rlm.backends.base import LMReply
    from rlm.core.kernels import KeptKernel
    from rlm.core.repl import Cell
    from rlm.core.tree import RunSpec, Tree
    from rlm.events import RunStatus
    from rlm.live_runs import Registration
    from rlm_kernel.context.value import ContextValue

_GOOD_ENDS = ("answered", "exhausted")


async def run(tree: Tree, assignment: RunSpec, *, kept: KeptKernel | None = None) -> str:
    """Run to the answer, and tell of it.

    Args:
        tree: What it shares with all runs of its tree.
        assignment: What it is to do.
        kept: The kernel of a persistent RLM, instead of a new one.

    Returns:
        The final answer.

    Raises:
        RLMError: The run ended without one.
    """
    dialogue = Chat(tree, assignment, kept)
    with told(tree, assignment) as end:
        end.partial = dialogue.partial
        if kept is None and assignment.depth == tree.config.depth:
            await tree.sandbox.start()
        known = assignment.info.fingerprint is not None
        async with (
            fingerprint_told(tree.recorder, known=known) as on_context,
            _repl(tree, assignment, kept, on_context) as repl,
        ):
            end.status, end.answer = await _converse(tree, dialogue, repl)
            if kept is not None and not tree.config.compaction:
                await kept.remember(dialogue.messages)
    return end.answer


async def _converse(tree: Tree, dialogue: Chat, repl: Repl) -> tuple[RunStatus, str]:
    """Ask, find code, run it, done? The paper's Algorithm 1."""
    streak = ErrorStreak(threshold=tree.config.max_errors)
    for number in range(1, tree.config.max_iterations + 1):
        with dialogue.turn(number) as turn:
            reply = await dialogue.ask(repl)
            if reply is None:
                continue
            parsed = dialogue.read(reply)
            cells: list[Cell] = []
            for code in parsed.blocks:
                cell = await repl.execute(code, number=len(cells) + 1, turn=number)
                dialogue.heard(cell)
                cells.append(cell)
                turn.answer = cell.answer
                if turn.answer is not None:
                    return "answered", turn.answer
            turn.answer = await dialogue.answer_in_text(parsed, cells, repl)
            if turn.answer is not None:
                return "answered", turn.answer
            await dialogue.show(cells, repl)
            streak.turn(_failure(reply, cells))
    return "exhausted", await dialogue.ask_for_final_answer(repl)


@dataclass(slots=True)
class End:
    """How a run ends.

    Attributes:
        status: `answered` or `exhausted` when it ends well; any other end is an exception's.
        answer: The final answer.
        partial: Returns the best answer so far.
    """

    status: RunStatus = "error"
    answer: str = ""
    partial: Callable[[], str | None] = lambda: None


@contextmanager
def told(tree: Tree, assignment: RunSpec) -> Iterator[End]:
    """Tell of a run's begin and end, whatever the end is.

    Args:
        tree: The run's tree.
        assignment: The run's.
    """
    recorder, end, began = tree.recorder, End(), time.perf_counter()
    problem: BaseException | None = None
    with recorder.span(new_run=True):
        recorder.emit(
            RunStarted,
            depth=assignment.depth,
            model=assignment.model.name,
            config=tree.config.public(),
            root_prompt=assignment.root_prompt,
            context=assignment.info.to_dict(),
        )
        try:
            yield end
        except asyncio.CancelledError:
            problem = tree.limits.exceeded_by
            end.status = "cancelled" if problem is None else _status(problem)
            raise
        except StoppedByUserError as error:
            problem, end.status = error, "cancelled"
            raise
        except BaseException as error:
            problem, end.status = error, _status(error)
            raise
        finally:
            if end.status == "limit":
                _note_limit(tree, assignment, problem)
            recorder.emit(
                RunFinished,
                status=end.status,
                answer=end.answer if end.status in _GOOD_ENDS else end.partial(),
                error=problem and {"type": type(problem).__name__, "message": str(problem)},
                usage=recorder.usage().to_dict(),
                duration=time.perf_counter() - began,
            )


def _status(problem: BaseException) -> RunStatus:
    return "limit" if isinstance(problem, LimitExceededError) else "error"


def _note_limit(tree: Tree, assignment: RunSpec, problem: BaseException | None) -> None:
    """Note which limit was exceeded, once a tree: in the root run, or in the child it is about."""
    own = isinstance(problem, ErrorThresholdExceededError)
    if own or assignment.depth == tree.config.depth:
        figures = {n: v for n, v in vars(problem).items() if isinstance(v, int | float)}
        tree.recorder.emit_child(None, Note, kind="limit", text=str(problem), data=figures)


@asynccontextmanager
async def _repl(
    tree: Tree,
    assignment: RunSpec,
    kept: KeptKernel | None,
    on_context: Callable[[ContextValue], None],
) -> AsyncIterator[Repl]:
    """Open the run's REPL, its context in it; at the end no call of it is under way any more."""
    subcalls = SubCalls(tree, assignment, run)
    kernel = (
        forked_kernel(tree.config, tree.sandbox, assignment, subcalls, on_context)
        if kept is None
        else kept.lent(tree.config, assignment, subcalls, on_context)
    )
    async with kernel as session:
        with _entry(tree, assignment, session.connection_file) as entry:
            try:
                yield Repl(tree, session, subcalls, entry)
            finally:
                session.on_typed = None
                await uncancellable(subcalls.close())


def _entry(
    tree: Tree, assignment: RunSpec, connection_file: str
) -> AbstractContextManager[Registration | None]:
    """Have a root run among the live runs for as long as its REPL is open; a child is not."""
    here = tree.recorder.here()
    if here is None or assignment.depth != tree.config.depth:
        return nullcontext()
    return registered(
        here.run_id,
        question=assignment.root_prompt or assignment.info.preview,
        model=assignment.model.name,
        environment=tree.config.environment,
        connection_file=connection_file,
    )


def _failure(reply: LMReply, cells: Sequence[Cell]) -> str | None:
    """Return how a turn failed; None when it did not."""
    if not reply.text.strip():
        return "the model sent an empty reply"
    return next((cell.error for cell in cells if cell.error is not None), None)
