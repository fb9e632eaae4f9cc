"""How the log of an earlier run stands in for the models: the engine's side of `rlm.replay`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rlm.backends.base import LMClient, ModelSpec
    from rlm.context import ContextInfo
    from rlm.core.model_calls import Models
    from rlm.core.recorder import Recorder
    from rlm.events import Message


class Replay(Protocol):
    """The log that answers one completion, wholly or up to a turn."""

    @property
    def question(self) -> str | None:
        """The recorded run's `root_prompt`."""

    def context(self, given: Any) -> tuple[Any, ContextInfo]:
        """Return the context and its recorded description; `given` may be `NOT_GIVEN`."""

    def prepare(self, spec: ModelSpec) -> object:
        """Start making the client of a model that will be asked."""

    async def get(self, spec: ModelSpec, messages: Sequence[Message]) -> LMClient:
        """Return what answers this call: the log, or a model's client."""

    def system_prompt(self) -> str | None:
        """Return the recorded system prompt of the run that is about to begin."""

    def begin_turn(self, number: int, spec: ModelSpec) -> tuple[ModelSpec, tuple[Message, ...]]:
        """Return the model that a turn asks, and messages to add before it."""

    def code(self, number: int) -> str | None:
        """Return the recorded code of the turn's cell of this number; None: the reply's own."""

    def compare_cell(self) -> None:
        """Note how the output of the current cell differs from the recorded one."""

    async def tool(self, call: Callable[[], Awaitable[Any]]) -> tuple[Any, str | None]:
        """Return a tool's recorded value and error; `call` calls the tool itself."""


@runtime_checkable
class ReplaySource(Protocol):
    """The logs that answer the completions of one `RLM`."""

    @property
    def may_ask(self) -> bool:
        """Whether a model may be asked at all, so that a key is needed."""

    @property
    def forked_from(self) -> dict[str, Any] | None:
        """The `run`, its `turn` and default `model` that a fork leaves; None for a pure replay."""

    def replay(self, number: int, models: Models, recorder: Recorder) -> Replay | None:
        """Put a log in the models' place for one completion; None when only models answer it.

        Args:
            number: How many completions were replayed before, of a persistent `RLM`.
            models: The tree's models; the log changes them as the run goes on.
            recorder: The completion's record.

        Raises:
            ConfigurationError: There is no further log, and no model may be asked.
        """


class _NotGiven:
    def __repr__(self) -> str:
        return "<the recorded one>"


NOT_GIVEN: Any = _NotGiven()
"""Stands for a context that nobody gave: the recorded one is taken."""
