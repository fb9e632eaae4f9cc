"""What all runs of one tree share: sandbox, models, limits, record, and the switch to stop it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.context import ContextInfo
    from rlm.core.config import ModelSpec, RunConfig
    from rlm.core.limits import Limits
    from rlm.core.model_calls import Models
    from rlm.core.recorder import Recorder
    from rlm.core.tools import Tool
    from rlm.errors import LimitExceededError, ReplayMissError, UnknownCostError
    from rlm.replay.player import ReplayClient
    from rlm_kernel.host.sandbox import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What one run is to do.

    Attributes:
        context: The value that becomes `context`.
        info: What the model is told of it.
        root_prompt: The question; None when the context holds it.
        depth: 0 for the root run of a tree that nobody is above of.
        model: The model that is asked turn by turn.
        tools: What its REPL has.
        sub_tools: What its children's REPLs have.
        user_prologue: A message of the user's own before the first turn.
    """

    context: Any
    info: ContextInfo
    root_prompt: str | None
    depth: int
    model: ModelSpec
    tools: tuple[Tool, ...]
    sub_tools: tuple[Tool, ...]
    user_prologue: str | None = None


@dataclass(slots=True, kw_only=True)
class Tree:
    """One `completion()` with everything below it.

    Attributes:
        config: The configuration.
        sandbox: Where its kernels live; set once it has been opened.
        models: Whom it may ask.
        limits: What it may take.
        recorder: Whom it tells.
        replay: The log of an earlier run, which answers its calls; None when there is none.
    """

    config: RunConfig
    models: Models
    limits: Limits
    recorder: Recorder
    replay: ReplayClient | None = None
    sandbox: Sandbox = field(init=False)
    _root_task: asyncio.Task[Any] | None = None
    _places: dict[int, asyncio.Semaphore] = field(default_factory=dict)

    def arm(self) -> asyncio.TimerHandle | None:
        """Let `stop` cancel the current task, and have the tree stopped when its time is up.

        Returns:
            The timer; None without a `max_timeout`.
        """
        self._root_task = asyncio.current_task()
        remaining = self.limits.remaining
        if remaining is None:
            return None
        loop = asyncio.get_running_loop()
        return loop.call_later(remaining, lambda: self.stop(self.limits.timeout_error()))

    def beside(self, recorder: Recorder) -> Tree:
        """Return another tree with the same models, limits and places, and a record of its own."""
        return Tree(
            config=self.config,
            models=self.models,
            limits=self.limits,
            recorder=recorder,
            _places=self._places,
        )

    def disarm(self) -> None:
        """Let `stop` do nothing any more: the root run is over."""
        self._root_task = None

    def stop(self, reason: LimitExceededError | UnknownCostError | ReplayMissError) -> None:
        """End the whole tree, from anywhere in it: a limit is reached or blind, or a log ends."""
        if self.limits.exceeded_by is None and self._root_task is not None:
            self.limits.exceeded_by = reason
            self._root_task.cancel()

    def child_slots(self, depth: int) -> asyncio.Semaphore:
        """Return the places for children of one depth.

        Each depth has its own `max_concurrent_subcalls`: a child waits for places of the next
        depth only, so nested children cannot lock each other out.
        """
        places = self._places.get(depth)
        if places is None:
            places = self._places[depth] = asyncio.Semaphore(self.config.max_concurrent_subcalls)
        return places
