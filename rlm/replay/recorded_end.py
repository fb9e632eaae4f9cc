"""Tells how far a recorded run got, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlm import errors
from rlm.core.subcalls import CANCELLED
from rlm.errors import LimitExceededError, RLMError
from rlm.reply_parser import CUT, ReplyReader
from rlm.trajectory.models_asked import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rlm.trajectory import RunNode, SubCallNode, TurnNode

_PLAIN_ERRORS = ("BackendError", "ContextWindowError", "ContextError", "SandboxError")


def was_cancelled(call: SubCallNode) -> bool:
    """Whether a sub-call was stopped before its reply came."""
    return call.finished is not None and call.finished.error == CANCELLED


def recorded_end(run: RunNode) -> RLMError | None:
    """Rebuild the error that ended a recorded run; None if it ended without one."""
    if run.finished is None or run.finished.error is None or run.finished.status == "cancelled":
        return None
    name, message = run.finished.error.get("type", ""), run.finished.error.get("message", "")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, LimitExceededError):
        return _limit_error(kind, message, run)
    if name in _PLAIN_ERRORS and isinstance(kind, type) and issubclass(kind, RLMError):
        return kind(message)
    return RLMError(message)


def _limit_error(kind: type[LimitExceededError], message: str, run: RunNode) -> LimitExceededError:
    """Rebuild a limit's error, with the figures from the limit's note."""
    figures = next((dict(note.data) for note in run.notes if note.kind == "limit"), {})
    make: Callable[..., LimitExceededError] = kind
    try:
        return make(**figures, message=message)
    except TypeError:  # An edited log, or a limit of another version.
        return LimitExceededError(message)


def finished_turns(run: RunNode) -> list[TurnNode]:
    """Return the first turns of a run, up to the last one with a reply and only finished cells."""
    turns = list(run.turns)
    blocks = _block_counts(run)
    while turns and not _is_whole(turns[-1], blocks[len(turns) - 1]):
        turns.pop()
    return turns


def _is_whole(turn: TurnNode, blocks: int) -> bool:
    """Whether a turn has a reply, and a finished cell for each of the reply's blocks."""
    if turn.finished is None or not turn.replies:
        return False
    if turn.finished.final_answer is not None or turn.reply is None:
        return True
    if any(cell.finished is None for cell in turn.cells):
        return False
    last = turn.cells[-1].finished if turn.cells else None
    if last is not None and last.status == "interrupted":
        return False
    return len(turn.cells) >= blocks


def _block_counts(run: RunNode) -> list[int]:
    """Return for each turn how many blocks of its reply were to be run."""
    fences = settings_of(run).get("python_fences", False)
    reader = ReplyReader("auto" if fences == "auto" else bool(fences))
    counts = []
    for turn in run.turns:
        blocks: Sequence[str] = ()
        if turn.reply is not None:
            complete = turn.reply.finish_reason not in CUT
            blocks = reader.read(turn.reply.text, complete=complete).blocks
        counts.append(len(blocks))
    return counts
