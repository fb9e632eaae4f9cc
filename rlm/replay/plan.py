"""What a run takes from the log of an earlier one, and where it goes on by itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from rlm.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rlm.core.completion import Holdings
    from rlm.core.config import ModelSpec, RunConfig
    from rlm.core.recorder import Recorder
    from rlm.events import Message
    from rlm.replay.player import ReplayClient
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

    def player(
        self, config: RunConfig, holdings: Holdings, recorder: Recorder
    ) -> ReplayClient | None:
        """Return what answers the next completion; None when it is no more in the logs.

        Args:
            config: The configuration of the part that no log answers.
            holdings: What the `RLM` holds between completions, the clients of that part among it.
            recorder: The record of the completion.

        Raises:
            ConfigurationError: The logs are over, and no model is to be asked.
        """
        from rlm.replay.player import ReplayClient

        number = holdings.replayed if config.persistent else 0
        if number >= len(self.trajectories):
            if self.may_ask:
                return None
            raise ConfigurationError(
                f"The {len(self.trajectories)} logs of this persistent RLM have been replayed; "
                "leave replay=True away to go on with the model."
            )
        holdings.replayed += 1
        last = number == len(self.trajectories) - 1
        plan = self if last else replace(self, live_from=None, messages=(), context=NOT_GIVEN)
        return ReplayClient(plan, number, config, holdings.clients, recorder)

    @property
    def may_ask(self) -> bool:
        """Whether a model may be asked at all, so that a key is needed."""
        return self.on_miss == "live" or self.live_from is not None

    @property
    def strict(self) -> bool:
        """Whether the run is to say and be told what the log says: it is no fork."""
        return self.live_from is None

    @property
    def origin(self) -> dict[str, Any]:
        """The run that is gone on from, the turn, and the run's own default model."""
        root = root_of(self.trajectories[-1])
        return {"run": root.started.id, "turn": self.live_from, "model": self.subs[0].name}

    def recorded(self, config: RunConfig) -> RunConfig:
        """Return a configuration with the log's models, for the part that the log answers."""
        return replace(config, root=self.root, subs=self.subs)

    def live(self, config: RunConfig, spec: ModelSpec) -> ModelSpec:
        """Return the model that is asked in the place of one of the log's.

        Args:
            config: The configuration, with the models that can be asked.
            spec: One of the log's models.
        """
        if spec is self.root:
            return config.root
        for name in config.subs:
            if name.name == spec.name:
                return name
        return config.subs[0]


class _NotGiven:
    def __repr__(self) -> str:
        return "<the recorded one>"


NOT_GIVEN: Any = _NotGiven()
"""Stands for a context that nobody gave: the recorded one is taken."""


def root_of(trajectory: Trajectory) -> RunNode:
    """Return the root run of a log that is known to have one."""
    assert trajectory.root is not None
    return trajectory.root
