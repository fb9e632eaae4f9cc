"""What a run takes from the log of an earlier one, and which turn is the first live one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rlm.backends.base import ModelSpec
    from rlm.events import Message
    from rlm.trajectory import RunNode, Trajectory

OnMiss = Literal["error", "live", "nearest"]

ON_MISS: tuple[OnMiss, ...] = ("error", "live", "nearest")
"""What to do about a call without a recorded reply: end the run with an error that says what
differs, ask the model, or take the reply to the most similar prompt."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplayPlan:
    """How the completions of one `RLM` are answered from logs.

    Attributes:
        trajectories: The logs; for a persistent RLM one per completion, in order.
        files: The file of each log; None for a log given as a trajectory.
        root: The model that the first log's root run asked.
        subs: The models that its sub-calls could ask, the default first.
        on_miss: What to do about a call without a recorded reply.
        live_from: The root run's first turn that asks the model; None: the log answers every turn.
        messages: Messages to add before that turn.
        edits: The new code of edited cells, by the recorded cell's id.
        keep_system_prompt: Whether runs start with the log's system prompt.
        context: The context given in place of the log's; `NOT_GIVEN` without one.
    """

    trajectories: tuple[Trajectory, ...]
    files: tuple[Path | None, ...]
    root: ModelSpec
    subs: tuple[ModelSpec, ...]
    on_miss: OnMiss
    live_from: int | None = None
    messages: tuple[Message, ...] = ()
    edits: Mapping[str, str] = field(default_factory=dict)
    keep_system_prompt: bool = True
    context: Any = None

    @property
    def may_ask(self) -> bool:
        """Whether a model may be asked, which needs a key."""
        return self.on_miss == "live" or self.live_from is not None

    @property
    def strict(self) -> bool:
        """Whether the log answers every turn, so that the run is no fork."""
        return self.live_from is None

    @property
    def forked_from(self) -> dict[str, Any] | None:
        """The forked run, the turn, and the run's default model; None for a pure replay."""
        if self.live_from is None:
            return None
        root = root_of(self.trajectories[-1])
        return {"run": root.started.id, "turn": self.live_from, "model": self.subs[0].name}


def root_of(trajectory: Trajectory) -> RunNode:
    """Return the root run of a log that has one."""
    assert trajectory.root is not None
    return trajectory.root
