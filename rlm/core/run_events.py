"""Emits the events that start and finish a run and its turns, however they end."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlm.core.repl import StoppedByUserError
from rlm.errors import ErrorThresholdExceededError, LimitExceededError
from rlm.events import Note, RunFinished, RunStarted, TurnFinished, TurnStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlm.core.recorder import Recorder
    from rlm.core.tree import RunSpec, Tree
    from rlm.events import Message, RunStatus


@dataclass(slots=True)
class Turn:
    """A turn that has not finished yet; `answer` is the final answer, once it has given one."""

    answer: str | None = None


@contextmanager
def turn_events(
    recorder: Recorder, *, number: int, of: int, kept: int, messages: tuple[Message, ...]
) -> Iterator[Turn]:
    """Emit a turn's first and last event; see `TurnStarted` for the arguments."""
    turn, began = Turn(), time.perf_counter()
    with recorder.span():
        recorder.emit(TurnStarted, number=number, of=of, kept=kept, messages=messages)
        try:
            yield turn
        finally:
            recorder.emit(
                TurnFinished,
                number=number,
                final_answer=turn.answer,
                duration=time.perf_counter() - began,
            )


@contextmanager
def run_events(
    tree: Tree, spec: RunSpec, best_answer: Callable[[], str | None]
) -> Iterator[Callable[[RunStatus, str], None]]:
    """Emit a run's first and last event, however it ends.

    Yields a function to call with the status (`answered` or `exhausted`) and the answer of a run
    that ends well. For any other run the exception gives the status, and `best_answer` the answer.
    """
    recorder, began = tree.recorder, time.perf_counter()
    status: RunStatus = "error"
    answer: str | None = None
    problem: BaseException | None = None

    def finish(how: RunStatus, final: str) -> None:
        nonlocal status, answer
        status, answer = how, final

    with recorder.span(new_run=True):
        recorder.emit(
            RunStarted,
            depth=spec.depth,
            model=spec.model.name,
            config=tree.config.public(),
            root_prompt=spec.root_prompt,
            context=spec.info.to_dict(),
        )
        try:
            yield finish
        except BaseException as error:
            problem, status = _how_it_failed(tree, error)
            answer = best_answer()
            raise
        finally:
            if status == "limit":
                _note_limit(tree, spec, problem)
            recorder.emit(
                RunFinished,
                status=status,
                answer=answer,
                error=problem and {"type": type(problem).__name__, "message": str(problem)},
                usage=recorder.usage().to_dict(),
                duration=time.perf_counter() - began,
            )


def _how_it_failed(tree: Tree, error: BaseException) -> tuple[BaseException | None, RunStatus]:
    """Return what to record of an exception: a cancelled run may have reached a limit."""
    if isinstance(error, StoppedByUserError):
        return error, "cancelled"
    if isinstance(error, asyncio.CancelledError):
        if tree.limits.exceeded_by is None:
            return None, "cancelled"
        error = tree.limits.exceeded_by
    return error, "limit" if isinstance(error, LimitExceededError) else "error"


def _note_limit(tree: Tree, spec: RunSpec, problem: BaseException | None) -> None:
    """Note which limit was exceeded: the tree's in the root run, a run's own in that run."""
    of_this_run = isinstance(problem, ErrorThresholdExceededError)
    if of_this_run or spec.depth == tree.config.depth:
        figures = {n: v for n, v in vars(problem).items() if isinstance(v, int | float)}
        tree.recorder.emit_child(None, Note, kind="limit", text=str(problem), data=figures)
