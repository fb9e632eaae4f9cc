"""The interface between engine and backends: a model, its client, and its reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm.events import CallUsage, Message


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelSpec:
    """A model that a run may ask, and how to make its client.

    Attributes:
        name: The model's name, as the code in a cell gives it.
        backend: The backend's name.
        backend_kwargs: The client's keywords.
        sampling_args: Fields of every request, such as a temperature.
    """

    name: str
    backend: str
    backend_kwargs: dict[str, Any] = field(repr=False)
    sampling_args: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LMReply:
    """One reply of a model.

    Attributes:
        text: The reply's text; empty when the provider sent none.
        model: The model that was asked, by our name for it, not the provider's alias.
        usage: Tokens and cost as the provider reported them.
        finish_reason: As the provider says it, such as ``"stop"`` or ``"length"``.
        reasoning: What the model thought, if it said so apart from the text.
    """

    text: str
    model: str
    usage: CallUsage
    finish_reason: str | None = None
    reasoning: str = ""


class LMClient(Protocol):
    """A provider's client: it asks once, retries nothing, and owns its connections.

    Attributes:
        backend: The backend's name, such as ``"openai"``.
        model_name: The model that it asks by default.
        reports_cost: Whether the provider reports what a call cost.
    """

    backend: str
    model_name: str
    reports_cost: bool

    async def complete(
        self, messages: Sequence[Message], *, model: str | None = None, stream: bool = False
    ) -> LMReply:
        """Ask the model once.

        Args:
            messages: The chat so far; content is text, or a list of OpenAI's parts.
            model: Another model of the same provider.
            stream: Whether the provider streams the reply; it is returned whole either way.

        Raises:
            BackendError: The provider failed; `rlm.backends.retry` decides about retries.
        """
        ...

    async def close(self) -> None:
        """Close the client's connections."""
        ...
