"""The nodes of a trajectory: run > turn > cell > sub-call > child run.

A node holds the events that started and finished it, and its children. It exists from its
started event on. Until the finished event arrives, `finished` is None and the node is `pending`,
as live views show. Nodes grow while a run goes on: read them, do not change them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlm.usage import Tally, UsageSummary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlm.events import (
        CellFinished,
        CellStarted,
        Message,
        ModelReply,
        Note,
        RunFinished,
        RunStarted,
        SubCallFinished,
        SubCallStarted,
        TurnFinished,
        TurnStarted,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class SubCallNode:
    """A call that a cell made.

    Attributes:
        started: What was asked, and which model.
        finished: What came back; None while it is pending.
        child: The run that it started, if its kind is `rlm`.
        notes: Warnings and other remarks about it.
    """

    started: SubCallStarted
    finished: SubCallFinished | None = None
    child: RunNode | None = None
    notes: list[Note] = field(default_factory=list)

    @property
    def pending(self) -> bool:
        """Whether the reply has not arrived yet."""
        return self.finished is None

    @property
    def name(self) -> str:
        """The function that the cell called: a helper of the REPL, or a tool's own name."""
        kind = self.started.kind
        return self.started.model if kind == "tool" else f"{kind}_query"


@dataclass(slots=True, kw_only=True, eq=False)
class CellNode:
    """A block of code that a kernel executed.

    Attributes:
        started: The code.
        finished: How it ended; None while it is pending.
        outputs: Notebook outputs (nbformat 4), in order of arrival.
        sub_calls: In the order in which the cell made them.
        notes: Warnings and other remarks about it.
    """

    started: CellStarted
    finished: CellFinished | None = None
    outputs: list[dict[str, Any]] = field(default_factory=list)
    sub_calls: list[SubCallNode] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @property
    def pending(self) -> bool:
        """Whether it has not finished."""
        return self.finished is None


@dataclass(slots=True, kw_only=True, eq=False)
class TurnNode:
    """One turn: a request to the model, and the execution of the code in its reply.

    Attributes:
        started: What the model was sent.
        finished: Its outcome; None while it is pending.
        replies: All replies of the turn, including a compaction's summary.
        cells: In the order in which they ran.
        notes: Warnings and other remarks about it.
        previous: The turn before it.
    """

    started: TurnStarted
    finished: TurnFinished | None = None
    replies: list[ModelReply] = field(default_factory=list)
    cells: list[CellNode] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    previous: TurnNode | None = field(default=None, repr=False)

    @property
    def pending(self) -> bool:
        """Whether it has not finished."""
        return self.finished is None

    @property
    def reply(self) -> ModelReply | None:
        """The model's reply to this turn; None until it arrives."""
        return next((r for r in reversed(self.replies) if r.purpose == "turn"), None)

    @property
    def sub_calls(self) -> list[SubCallNode]:
        """The sub-calls of all its cells."""
        return [call for cell in self.cells for call in cell.sub_calls]

    @property
    def messages(self) -> list[Message]:
        """The whole prompt of this turn, rebuilt from what each turn added."""
        chain: list[TurnNode] = []
        turn: TurnNode | None = self
        while turn is not None:
            chain.append(turn)
            turn = turn.previous if turn.started.kept else None
        messages: list[Message] = []
        for link in reversed(chain):
            del messages[link.started.kept :]
            messages.extend(link.started.messages)
        return messages


@dataclass(slots=True, kw_only=True, eq=False)
class RunNode:
    """A run: the root, or a child that a sub-call started.

    Attributes:
        started: Its model, configuration and context.
        finished: How it ended; None while it is pending.
        turns: In order.
        children: The runs that its sub-calls started, in the order of their starts.
        setup_calls: The sub-calls that `setup_code` made, before the first cell.
        notes: Warnings and other remarks about it.
        tally: The usage of its own LM calls so far, without its children's.
    """

    started: RunStarted
    finished: RunFinished | None = None
    turns: list[TurnNode] = field(default_factory=list)
    children: list[RunNode] = field(default_factory=list)
    setup_calls: list[SubCallNode] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    @property
    def pending(self) -> bool:
        """Whether it has not finished."""
        return self.finished is None

    @property
    def answer(self) -> str | None:
        """The final (or best partial) answer; None while it is pending."""
        return None if self.finished is None else self.finished.answer

    @property
    def context(self) -> dict[str, Any]:
        """The description of its context; the hash of a big one comes in a note after the start."""
        later = [note.data for note in self.notes if note.kind == "context"]
        return {**self.started.context, **(later[-1] if later else {})}

    @property
    def cells(self) -> list[CellNode]:
        """The cells of all its turns, without its children's."""
        return [cell for turn in self.turns for cell in turn.cells]

    @property
    def sub_calls(self) -> list[SubCallNode]:
        """The sub-calls of `setup_code` and of all its cells, without its children's."""
        return [*self.setup_calls, *(call for cell in self.cells for call in cell.sub_calls)]

    @property
    def own_usage(self) -> UsageSummary:
        """The usage of its own LM calls: its turns and plain sub-calls, without its children's."""
        return UsageSummary(self.tally.summaries())

    @property
    def usage(self) -> UsageSummary:
        """The usage of the run and all its descendants so far."""
        total = Tally()
        for run in self.walk():
            total.merge(run.tally)
        return UsageSummary(total.summaries())

    def walk(self) -> Iterator[RunNode]:
        """Yield the run and all its descendants, parents first."""
        waiting = [self]
        while waiting:
            run = waiting.pop()
            yield run
            waiting.extend(reversed(run.children))


Node = RunNode | TurnNode | CellNode | SubCallNode
