"""The calls, tokens and cost of a run's LM calls by model, in the reference's shape."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.events import CallUsage

__all__ = ["ModelUsageSummary", "Tally", "UsageSummary"]


@dataclass(slots=True)
class ModelUsageSummary:
    """The calls, tokens and cost of one model, over a whole tree.

    Attributes:
        total_calls: Number of requests.
        total_input_tokens: Tokens in, as the provider counted them.
        total_output_tokens: Tokens out, as the provider counted them.
        total_cost: USD, from the provider or the user's `prices`, of the calls whose cost is
            known; None when no call's is.
        uncosted_calls: How many calls have an unknown cost. `to_dict` leaves it out.
    """

    total_calls: int
    total_input_tokens: int
    total_output_tokens: int
    total_cost: float | None = None
    uncosted_calls: int = field(default=0, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the reference's dictionary; an unknown cost is left out."""
        data: dict[str, Any] = {
            "total_calls": self.total_calls,
            "total_input_tokens": self.total_input_tokens,
            "total_output_tokens": self.total_output_tokens,
        }
        if self.total_cost is not None:
            data["total_cost"] = self.total_cost
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelUsageSummary:
        """Read what `to_dict` wrote.

        Args:
            data: The reference's dictionary.
        """
        return cls(
            total_calls=data["total_calls"],
            total_input_tokens=data["total_input_tokens"],
            total_output_tokens=data["total_output_tokens"],
            total_cost=data.get("total_cost"),
        )


@dataclass(slots=True)
class UsageSummary:
    """The calls, tokens and cost of every model, over a whole tree.

    Attributes:
        model_usage_summaries: Model name to its summary.
    """

    model_usage_summaries: dict[str, ModelUsageSummary] = field(default_factory=dict)

    @property
    def total_cost(self) -> float | None:
        """USD of all calls whose cost is known, as in the reference; None when no call's is.

        `cost_is_partial` says whether other calls were made.
        """
        costs = [s.total_cost for s in self.model_usage_summaries.values()]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if known else None

    @property
    def cost_is_partial(self) -> bool:
        """Whether `total_cost` leaves out calls of unknown cost, so that it is a minimum."""
        return self.total_cost is not None and any(
            s.uncosted_calls or (s.total_cost is None and s.total_calls)
            for s in self.model_usage_summaries.values()
        )

    @property
    def total_input_tokens(self) -> int:
        """Tokens in, of all models."""
        return sum(s.total_input_tokens for s in self.model_usage_summaries.values())

    @property
    def total_output_tokens(self) -> int:
        """Tokens out, of all models."""
        return sum(s.total_output_tokens for s in self.model_usage_summaries.values())

    @property
    def total_calls(self) -> int:
        """Requests to all models."""
        return sum(s.total_calls for s in self.model_usage_summaries.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the reference's dictionary; an unknown cost is left out."""
        data: dict[str, Any] = {
            "model_usage_summaries": {
                model: summary.to_dict() for model, summary in self.model_usage_summaries.items()
            }
        }
        if self.total_cost is not None:
            data["total_cost"] = self.total_cost
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> UsageSummary:
        """Read what `to_dict` wrote.

        Args:
            data: The reference's dictionary.
        """
        return cls(
            {
                model: ModelUsageSummary.from_dict(summary)
                for model, summary in data.get("model_usage_summaries", {}).items()
            }
        )


@dataclass(slots=True)
class Tally:
    """Calls, tokens and cost so far by model; cheap enough to be updated with every event.

    Attributes:
        models: Model name to what its calls took so far.
    """

    models: dict[str, ModelUsageSummary] = field(default_factory=dict)

    def add(self, model: str, usage: CallUsage) -> None:
        """Count one call; what the provider did not report counts as nothing.

        Args:
            model: Name of the model that was called.
            usage: What the call took.
        """
        self._grow(
            model,
            ModelUsageSummary(
                total_calls=1,
                total_input_tokens=usage.input_tokens or 0,
                total_output_tokens=usage.output_tokens or 0,
                total_cost=usage.cost,
                uncosted_calls=int(usage.cost is None),
            ),
        )

    def merge(self, other: Tally) -> None:
        """Count everything that another tally counted.

        Args:
            other: The other tally.
        """
        for model, summary in list(other.models.items()):
            self._grow(model, summary)

    def summaries(self) -> dict[str, ModelUsageSummary]:
        """Return copies, for callers to keep."""
        copy = Tally()
        copy.merge(self)
        return copy.models

    def _grow(self, model: str, more: ModelUsageSummary) -> None:
        summary = self.models.get(model)
        if summary is None:
            summary = self.models[model] = ModelUsageSummary(0, 0, 0)
        summary.total_calls += more.total_calls
        summary.total_input_tokens += more.total_input_tokens
        summary.total_output_tokens += more.total_output_tokens
        summary.uncosted_calls += more.uncosted_calls
        if more.total_cost is not None:
            summary.total_cost = (summary.total_cost or 0.0) + more.total_cost
