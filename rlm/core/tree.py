"""What a run does, and what all runs of one tree share: sandbox, models, limits, record."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlm.backends.retry import RateLimiter
from rlm.core.limits import Limits
from rlm.core.model_calls import Models

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlm.backends.base import ModelSpec
    from rlm.context import ContextInfo
    from rlm.core.config import RunConfig
    from rlm.core.model_calls import Clients
    from rlm.core.recorder import Recorder
    from rlm.core.replay_port import Replay
    from rlm.core.tools import Tool
    from rlm.errors import LimitExceededError, ReplayMissError, UnknownCostError
    from rlm_kernel.host.sandbox import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What one run does.

    Attributes:
        context: The value that becomes `context`.
        info: What the model is told about the context.
        root_prompt: The question; None when the context holds it.
        depth: 0 for a root run, unless its `RLM` was made with another `depth`.
        model: The model that is asked turn by turn.
        tools: The tools in its REPL.
        sub_tools: The tools in its children's REPLs.
        user_prologue: A user message before the first turn.
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
    """One `completion()` with all its child runs.

    Attributes:
        config: The configuration.
        models: Asks the models.
        limits: What the tree may spend.
        recorder: Emits the tree's events.
        replay: The log that answers the tree's calls, if it is a replay, a resume or a fork.
        sandbox: Where the tree's kernels live; set before the root run begins.
    """

    config: RunConfig
    models: Models
    limits: Limits
    recorder: Recorder
    replay: Replay | None = None
    sandbox: Sandbox = field(init=False)
    _root_task: asyncio.Task[Any] | None = None
    _child_slots: dict[int, asyncio.Semaphore] = field(default_factory=dict)

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Let `stop` cancel the current task until `disarm`; stop the tree when its time is up."""
        self._root_task = asyncio.current_task()
        timer, remaining = None, self.limits.remaining
        if remaining is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(remaining, lambda: self.stop(self.limits.timeout_error()))
        try:
            yield
        finally:
            self.disarm()
            if timer is not None:
                timer.cancel()

    def disarm(self) -> None:
        """Make `stop` do nothing from now on: the root run is over."""
        self._root_task = None

    def stop(self, reason: LimitExceededError | UnknownCostError | ReplayMissError) -> None:
        """End the whole tree, from any of its runs."""
        if self.limits.exceeded_by is None and self._root_task is not None:
            self.limits.exceeded_by = reason
            self._root_task.cancel()

    def with_recorder(self, recorder: Recorder) -> Tree:
        """Return a tree with another record, and the same models, limits and child slots."""
        return Tree(
            config=self.config,
            models=self.models,
            limits=self.limits,
            recorder=recorder,
            _child_slots=self._child_slots,
        )

    def child_slots(self, depth: int) -> asyncio.Semaphore:
        """Return the semaphore of one depth's children.

        Each depth has `max_concurrent_subcalls` slots. A child waits only for slots of the next
        depth, so nested children cannot lock each other out.
        """
        if depth not in self._child_slots:
            self._child_slots[depth] = asyncio.Semaphore(self.config.max_concurrent_subcalls)
        return self._child_slots[depth]


def new_tree(config: RunConfig, clients: Clients, recorder: Recorder, *, started: float) -> Tree:
    """Return a tree that has not spent anything; `started` is a time of `time.perf_counter`."""
    limits = Limits(
        max_budget=config.max_budget,
        max_tokens=config.max_tokens,
        max_timeout=config.max_timeout,
        started=started,
    )
    models = Models(
        root=config.root,
        subs=config.subs,
        prices=config.prices,
        context_windows=config.context_window,
        clients=clients,
        limiter=RateLimiter(config.max_concurrent_queries),
        limits=limits,
    )
    return Tree(config=config, models=models, limits=limits, recorder=recorder)
