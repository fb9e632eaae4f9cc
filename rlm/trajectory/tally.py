"""Adding up what LM calls took, model by model, as the events come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rlm.usage import ModelUsageSummary

if TYPE_CHECKING:
    from rlm.events import CallUsage


@dataclass(slots=True)
class Tally:
    """Calls, tokens and cost by model; cheap enough to be kept up with every event.

    Attributes:
        models: Model name to what its calls took so far.
    """

    models: dict[str, ModelUsageSummary] = field(default_factory=dict)

    def add(self, model: str, usage: CallUsage) -> None:
        """Count one call; what the provider did not report counts as nothing."""
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
        """Count everything that `other` counted."""
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
