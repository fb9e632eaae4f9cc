"""What a run takes from the log of an earlier one, and where it goes on by itself."""

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
"""What may be done about a call that the log has no reply to: end the run with an error that says
what differs, ask the model, or take the reply to the prompt that is most alike."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplayPlan:
    """How the completions of one `RLM` are answered from logs.

    Attributes:
        trajectories: The logs; of a persistent RLM one for each completion, in order.
        files: The file of each; None of one that comes from none.
        root: The model that the first log's root run asked.
        subs: The models that its sub-calls could go to, the default first.
        on_miss: What is done about a call that the log has no reply to.
        live_from: The first turn of the root run that is not answered from the log; None: all are.
        messages: What is said to the model before that turn.
        edits: Cells whose code was changed since: the id of the recorded cell, and the new code.
        keep_system_prompt: Whether runs open with the log's own system prompt.
        context: The context that was given in place of the log's own; `NOT_GIVEN` when none was.
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
        """Whether a model may be asked at all, so that a key is needed."""
        return self.on_miss == "live" or self.live_from is not None

    @property
    def strict(self) -> bool:
        """Whether the run is to say and be told what the log says: it is no fork."""
        return self.live_from is None

    @property
    def forked_from(self) -> dict[str, Any] | None:
        """The run that is left, the turn, and the run's default model; None for a pure replay."""
        if self.live_from is None:
            return None
        root = root_of(self.trajectories[-1])
        return {"run": root.started.id, "turn": self.live_from, "model": self.subs[0].name}


def root_of(trajectory: Trajectory) -> RunNode:
    """Return the root run of a log that is known to have one."""
    assert trajectory.root is not None
    return trajectory.root
