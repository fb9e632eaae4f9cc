"""What the engine needs of a log that answers in the models' place; `rlm.replay` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rlm.core.model_calls import ClientSource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rlm.backends.base import ModelSpec
    from rlm.context import ContextInfo
    from rlm.core.model_calls import Models
    from rlm.core.recorder import Recorder
    from rlm.events import Message


class Replay(ClientSource, Protocol):
    """The log that answers one completion's calls, all of them or those before a turn."""

    @property
    def question(self) -> str | None:
        """The recorded run's `root_prompt`."""

    def context(self, given: Any) -> tuple[Any, ContextInfo]:
        """Return the context and its recorded description; `given` may be `NOT_GIVEN`."""

    def system_prompt(self) -> str | None:
        """Return the recorded system prompt of the run that begins now."""

    def begin_turn(self, number: int, spec: ModelSpec) -> tuple[ModelSpec, tuple[Message, ...]]:
        """Return the model that a turn asks, and messages to add before it."""

    def code(self, number: int) -> str | None:
        """Return the recorded code of the turn's cell of this number; None: the reply's own."""

    def compare_cell(self) -> None:
        """Emit a note if the current cell's output differs from the recorded one."""

    async def tool(self, call: Callable[[], Awaitable[Any]]) -> tuple[Any, str | None]:
        """Return a tool's recorded value and error, or use `call` to call the tool."""


@runtime_checkable
class ReplaySource(Protocol):
    """The logs that answer the completions of one `RLM`."""

    @property
    def may_ask(self) -> bool:
        """Whether any model may be asked: if so, a key is needed."""

    @property
    def forked_from(self) -> dict[str, Any] | None:
        """The `run`, `turn` and default `model` where a fork leaves its log; None for a replay."""

    def replay(self, number: int, models: Models, recorder: Recorder) -> Replay | None:
        """Let a log answer one completion's calls; None if models answer all of them.

        Args:
            number: How many completions of a persistent `RLM` were replayed before this one.
            models: The tree's models; the log changes them as the run goes on.
            recorder: Emits the completion's events.

        Raises:
            ConfigurationError: There is no further log, and no model may be asked.
        """


class _NotGiven:
    def __repr__(self) -> str:
        return "<the recorded one>"


NOT_GIVEN: Any = _NotGiven()
"""Stands for a context that the user did not give: the log's is used."""
