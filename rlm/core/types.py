"""The result of a completion: the answer with its usage, in the reference's shape."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlm.errors import ConfigurationError
from rlm.usage import ModelUsageSummary, UsageSummary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rlm.trajectory import Trajectory


__all__ = ["ModelUsageSummary", "RLMChatCompletion", "UsageSummary"]


@dataclass(slots=True)
class RLMChatCompletion:
    """The result of a completion: the answer, its usage and its record.

    Attributes:
        root_model: Name of the root model.
        prompt: The context, unchanged.
        response: The final answer.
        usage_summary: Usage of the whole tree, children and leaf calls included.
        execution_time: Seconds.
        metadata: The reference's trajectory (`run_metadata`, `iterations`) when an
            `RLMLogger` was given.
        error: Why a single call failed; None when it succeeded.
        trajectory: The record of the tree; always there for a completion.
    """

    root_model: str
    prompt: Any
    response: str
    usage_summary: UsageSummary
    execution_time: float
    metadata: dict[str, Any] | None = None
    error: str | None = None
    trajectory: Trajectory | None = field(default=None, repr=False, compare=False)

    @property
    def answer(self) -> str:
        """The final answer (the reference's `response`)."""
        return self.response

    @property
    def usage(self) -> UsageSummary:
        """Usage of the whole tree (the reference's `usage_summary`)."""
        return self.usage_summary

    def save(self, path: str | Path, *, redact: Callable[[str], str] | None = None) -> Path:
        """Write the trajectory to a file; the suffix decides the format.

        Args:
            path: The file, ending in one of `rlm.trajectory.SUFFIXES`.
            redact: Called with every text before it is written; returns what may be kept.

        Raises:
            ConfigurationError: There is no trajectory, or no format of that suffix.
            OSError: The file cannot be written.
        """
        return self._recorded().save(path, redact=redact)

    def view(self) -> None:
        """Show the whole run: in the viewer in a notebook, as a tree in a terminal."""
        self._recorded().view()

    def _recorded(self) -> Trajectory:
        if self.trajectory is None:
            raise ConfigurationError("This completion has no trajectory.")
        return self.trajectory

    def __repr__(self) -> str:
        """Return a text without prompt and record: a notebook saves what it shows of a result."""
        from rlm.redaction import Redaction

        error = "" if self.error is None else f", error={self.error!r}"
        return Redaction().text(
            f"RLMChatCompletion(root_model={self.root_model!r}, response={self.response!r}, "
            f"execution_time={self.execution_time:.3f}{error})"
        )

    def _repr_markdown_(self) -> str:
        """Return the answer and its usage, made safe for a page that trusts them."""
        from rlm.render.safe_markdown import plain_as_markdown
        from rlm.render.view import answer_as_markdown

        text = answer_as_markdown(self.response, self.trajectory)
        return text if self.error is None else f"**{plain_as_markdown(self.error)}**\n\n{text}"

    def to_dict(self) -> dict[str, Any]:
        """Return the reference's dictionary; `metadata` and `error` are left out when None."""
        data: dict[str, Any] = {
            "root_model": self.root_model,
            "prompt": self.prompt,
            "response": self.response,
            "usage_summary": self.usage_summary.to_dict(),
            "execution_time": self.execution_time,
        }
        if self.metadata is not None:
            data["metadata"] = self.metadata
        if self.error is not None:
            data["error"] = self.error
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RLMChatCompletion:
        """Read what `to_dict` wrote.

        Args:
            data: The reference's dictionary.
        """
        return cls(
            root_model=data["root_model"],
            prompt=data["prompt"],
            response=data["response"],
            usage_summary=UsageSummary.from_dict(data["usage_summary"]),
            execution_time=data["execution_time"],
            metadata=data.get("metadata"),
            error=data.get("error"),
        )
