"""The events of a run: everything that the engine reports.

A run is a tree: run > turn > cell > sub-call > child run. Each node has an `id`. The events that
start and finish a node have the same `id`, and `parent_id` is the node above it. A child run's
parent is the sub-call that started it. Each output and each note is a node too.

Events hold JSON values only (`str`, numbers, `bool`, `None`, tuples and dictionaries of them), so
that every log is lossless.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

__all__ = [
    "EVENT_TYPES",
    "CallUsage",
    "CellFinished",
    "CellOutput",
    "CellStarted",
    "CellStatus",
    "Event",
    "Message",
    "ModelReply",
    "Note",
    "NoteKind",
    "RunFinished",
    "RunStarted",
    "RunStatus",
    "SubCallFinished",
    "SubCallKind",
    "SubCallStarted",
    "TurnFinished",
    "TurnStarted",
]

RunStatus = Literal["answered", "exhausted", "limit", "error", "cancelled"]
CellStatus = Literal["ok", "error", "interrupted", "timeout", "died"]
SubCallKind = Literal["llm", "rlm", "tool"]
NoteKind = Literal[
    "restart", "compaction", "limit", "output", "retry", "warning", "console", "context", "log"
]

Message = dict[str, Any]
"""A chat message: ``{"role": "system" | "user" | "assistant", "content": str | list}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallUsage:
    """The tokens and the cost of one LM call.

    Attributes:
        input_tokens: As the provider counted; None when it did not say.
        output_tokens: As the provider counted; None when it did not say.
        cost: USD; None when it is not known.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a run.

    Attributes:
        id: The node this event is about.
        parent_id: The node above it; None for a root run.
        run_id: The run, root or child, in which it happened.
        time: Seconds since the epoch.
    """

    type: ClassVar[str] = ""

    id: str
    parent_id: str | None
    run_id: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run begins.

    Attributes:
        depth: 0 for the root run.
        model: Name of the model that is asked turn by turn.
        config: What the reference's log calls metadata, without secrets: `backend`,
            `backend_kwargs`, `environment_type`, `environment_kwargs`, `other_backends`,
            `max_depth`, `max_iterations`, and `limits`.
        root_prompt: The question, when one was given.
        context: The context's `type`, `length` (characters, bytes or items), `description`
            (the line the model is shown) and `preview` (its first 200 characters). Three more
            entries identify it: `form` (`text`, `bytes`, `json` or `pickle`: how it travels to the
            kernel), and `bytes` and `sha256` (of what travels; see `rlm_kernel.context.hash`). A
            big context has these three in the `data` of a note of kind `context`;
            `RunNode.context` has all in any case. A root run's context of at most 64 KB is in
            `value` (bytes in Base64) unless it is pickled; a child's is the prompt of its call.
    """

    type: ClassVar[str] = "run_started"

    depth: int
    model: str
    config: dict[str, Any]
    root_prompt: str | None
    context: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """A run is over.

    Attributes:
        status: How it ended: `exhausted` means that `max_iterations` turns gave no answer, and the
            model was then asked for a final answer.
        answer: The final answer; of a run that failed, the best answer so far.
        error: `{"type", "message"}` of the error that ended it; None when none did.
        usage: `UsageSummary.to_dict()` of this run with all its descendants.
        duration: Seconds.
    """

    type: ClassVar[str] = "run_finished"

    status: RunStatus
    answer: str | None
    error: dict[str, str] | None
    usage: dict[str, Any]
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted(Event):
    """The model is about to be asked.

    Attributes:
        number: 1 for the first turn of the run.
        of: `max_iterations`; `number` is one more in the turn that forces an answer.
        kept: How many leading messages of the last turn's prompt are sent again.
        messages: The messages that follow those.
    """

    type: ClassVar[str] = "turn_started"

    number: int
    of: int
    kept: int
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReply(Event):
    """The root model replied; `id` is the turn's.

    Attributes:
        model: Name of the model that was asked.
        text: Its reply; empty when it sent none.
        usage: The tokens and the cost of the call.
        duration: Seconds.
        finish_reason: The provider's word, such as ``"stop"`` or ``"length"``.
        purpose: Whether the model was asked for a turn or for a summary of the chat.
        reasoning: What it thought, which is no part of the reply; empty when it did not say.
    """

    type: ClassVar[str] = "model_reply"

    model: str
    text: str
    usage: CallUsage
    duration: float
    finish_reason: str | None = None
    purpose: Literal["turn", "compaction"] = "turn"
    reasoning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFinished(Event):
    """A turn is over.

    Attributes:
        number: The turn's number.
        final_answer: The answer that the turn gave; None when it gave none.
        duration: Seconds, the model call included.
    """

    type: ClassVar[str] = "turn_finished"

    number: int
    final_answer: str | None
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStarted(Event):
    """A block of code is sent to the kernel.

    Attributes:
        number: 1 for the first block of its turn.
        code: The block.
    """

    type: ClassVar[str] = "cell_started"

    number: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOutput(Event):
    """A cell wrote something; `parent_id` is the cell.

    Attributes:
        output: A notebook output (nbformat 4): `output_type` is `stream`, `execute_result`,
            `display_data` or `error`.
    """

    type: ClassVar[str] = "cell_output"

    output: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFinished(Event):
    """A cell is over.

    Attributes:
        status: `ok`; `error`: it raised; `interrupted`; `timeout`: it ran longer than
            `cell_timeout` or the run may; `died`: its kernel died.
        execution_count: Jupyter's counter; None when the kernel died.
        variables: The model's variables: name to `{"type", "preview"}`.
        final_answer: The answer; None unless this cell gave one.
        duration: Seconds.
        shown: What the model is shown of it.
    """

    type: ClassVar[str] = "cell_finished"

    status: CellStatus
    execution_count: int | None
    variables: dict[str, dict[str, str]]
    final_answer: str | None
    duration: float
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubCallStarted(Event):
    """A cell called a model, a child run, or a host tool.

    `parent_id` is the cell, or the run when its `setup_code` called.

    Attributes:
        kind: `llm`: one plain LM call; `rlm`: a child run; `tool`: a host callable.
        model: The model that is asked, or the tool's name.
        prompt: What was asked (of a tool: its arguments).
    """

    type: ClassVar[str] = "sub_call_started"

    kind: SubCallKind
    model: str
    prompt: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SubCallFinished(Event):
    """A sub-call is over.

    Attributes:
        kind: As it started.
        model: As it started.
        response: What the cell got (JSON).
        error: Why it failed; None when it did not.
        usage: The tokens and the cost of a plain call. Empty for a child: its events have them.
        duration: Seconds, with the wait for a free slot.
        reasoning: What the model thought in a plain call, which the cell did not get.
    """

    type: ClassVar[str] = "sub_call_finished"

    kind: SubCallKind
    model: str
    response: Any
    error: str | None
    usage: CallUsage
    duration: float
    reasoning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Event):
    """Something that a reader of the log should know; `parent_id` is the node that it is about.

    Attributes:
        kind: What it is about; `console`: a person attached to the kernel ran a cell.
        text: One sentence.
        data: Figures, by name; of a `console` note, the cell's `code`.
    """

    type: ClassVar[str] = "note"

    kind: NoteKind
    text: str
    data: dict[str, Any] = field(default_factory=dict)


EVENT_TYPES: dict[str, type[Event]] = {
    cls.type: cls
    for cls in (
        RunStarted,
        RunFinished,
        TurnStarted,
        ModelReply,
        TurnFinished,
        CellStarted,
        CellOutput,
        CellFinished,
        SubCallStarted,
        SubCallFinished,
        Note,
    )
}
"""Every event class by its `type`, as logs name it."""
