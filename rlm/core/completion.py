"""One `completion()` on the engine's loop: builds the tree, runs the root, says how it ended."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.backends.retry import Gate
from rlm.context import describe
from rlm.core.environments import kept_between_trees, new_sandbox
from rlm.core.kernels import KeptKernel
from rlm.core.limits import Limits
from rlm.core.loop import uncancellable
from rlm.core.model_calls import Clients, Models
from rlm.core.plain import run_single_call
from rlm.core.repl import StoppedByUserError
from rlm.core.run import run
from rlm.core.tree import RunSpec, Tree
from rlm.core.types import RLMChatCompletion, UsageSummary
from rlm.errors import CancellationError, RLMError
from rlm.redaction import remember_secrets
from rlm.replay.plan import NOT_GIVEN
from rlm_kernel.context.read_path import read_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from rlm.core.config import RunConfig
    from rlm.core.recorder import Recorder
    from rlm_kernel.host.sandbox import Sandbox
    from rlm_kernel.relay.pool import MachinePool

_RUN_GRACE = 10.0
"""Seconds that runs have to end, their kernels included, when what they use is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of `completion()`.

    Attributes:
        prompt: The context, as the user gave it; `NOT_GIVEN`: the log's.
        root_prompt: The question.
        started: When it was called (`time.perf_counter`).
    """

    prompt: Any
    root_prompt: str | None
    started: float


class Holdings:
    """What an `RLM` object holds between completions, all of it on one event loop.

    Its clients, a lease on the fork server, and, when it is persistent, its kernel.
    """

    def __init__(self, *, persistent: bool) -> None:
        self.clients = Clients()
        self.kept = KeptKernel() if persistent else None
        self.replayed = 0
        self._lease: Any = None
        self._warm: MachinePool | None = None
        self._runs: set[asyncio.Task[Any]] = set()
        self.closed = False

    @contextmanager
    def run(self) -> Iterator[None]:
        """Count the current task among the runs that `close` cancels.

        Raises:
            CancelledError: It is closed already.
        """
        task = asyncio.current_task()
        if self.closed or task is None:
            raise asyncio.CancelledError
        self._runs.add(task)
        try:
            yield
        finally:
            self._runs.discard(task)

    def sandbox(self, config: RunConfig) -> Sandbox:
        """Return a new tree's sandbox; a local fork server begins to start, and stays."""
        if config.environment == "local":
            from rlm_kernel.local.server import lease

            if self._lease is None or self._lease.over:
                self._lease = lease()
        name, kwargs = config.environment, config.environment_kwargs
        if self._warm is None:
            self._warm = kept_between_trees(name, kwargs)
        return new_sandbox(name, kwargs, self._warm)

    async def close(self) -> None:
        """End the runs that go on, which would open anew what is closed, and close everything."""
        self.closed = True
        for run_task in self._runs:
            run_task.cancel()
        if self._runs:
            await asyncio.wait(set(self._runs), timeout=_RUN_GRACE)
        lease, self._lease = self._lease, None
        warm, self._warm = self._warm, None
        async with AsyncExitStack() as closing:  # last first, each whatever the others do
            if lease is not None:
                closing.push_async_callback(lease.close)
            if warm is not None:
                closing.push_async_callback(warm.close)
            if self.kept is not None:
                closing.push_async_callback(self.kept.close)
            # Connections first: when the interpreter ends, the kernel's end may be refused threads.
            closing.push_async_callback(self.clients.close)


async def complete(
    config: RunConfig, holdings: Holdings, request: Request, recorder: Recorder
) -> RLMChatCompletion | RLMError:
    """Answer one request.

    Args:
        config: The configuration.
        holdings: What is kept between completions.
        request: What is asked.
        recorder: Whom to tell.

    Returns:
        The result, or the error to be raised where the user waits: a `CancellationError`, which
        is a `KeyboardInterrupt` too, must never be raised on the engine's loop, it would end it.
    """
    recorder.begin()
    remember_secrets(config.secrets())
    limits = Limits(
        max_budget=config.max_budget,
        max_tokens=config.max_tokens,
        max_timeout=config.max_timeout,
        started=request.started,
    )
    failure: RLMError
    try:
        with holdings.run():
            answer, context = await _answer(config, holdings, request, recorder, limits)
    except asyncio.CancelledError:
        closed = "The RLM was closed while the run went on." if holdings.closed else None
        failure = limits.exceeded_by or CancellationError(message=closed)
    except StoppedByUserError as error:
        failure = CancellationError(message=str(error))
    except RLMError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - whatever it is, the record so far must not be lost
        failure = RLMError(f"The run failed unexpectedly: {type(error).__name__}: {error}")
        failure.__cause__ = error
    else:
        return RLMChatCompletion(
            root_model=config.root.name,
            prompt=context if request.prompt is NOT_GIVEN else request.prompt,
            response=answer,
            usage_summary=recorder.trajectory.usage or UsageSummary(),
            execution_time=time.perf_counter() - request.started,
            trajectory=recorder.trajectory,
        )
    root = recorder.trajectory.root
    failure.trajectory = recorder.trajectory
    if root is not None and failure.partial_answer is None:
        failure.partial_answer = root.answer
    return failure


async def _answer(
    config: RunConfig, holdings: Holdings, request: Request, recorder: Recorder, limits: Limits
) -> tuple[str, Any]:
    """Return the answer, and the context that it is about."""
    replay = None if config.replay is None else config.replay.player(config, holdings, recorder)
    tree = Tree(
        config=config,
        models=Models(
            config=config if replay is None else replay.recorded_config,
            clients=replay or holdings.clients,
            gate=Gate(config.max_concurrent_queries),
            limits=limits,
        ),
        limits=limits,
        recorder=recorder,
        replay=replay,
    )
    if replay is not None:
        replay.models = tree.models
    timer = tree.arm()
    try:
        if config.depth >= config.max_depth:
            assignment = await _assignment(tree, request)
            return await run_single_call(tree, assignment), assignment.context
        async with _sandbox(tree, holdings) as sandbox:
            tree.sandbox = sandbox
            assignment = await _assignment(tree, request)
            answer = await run(tree, assignment, kept=holdings.kept)
            tree.disarm()
            return answer, assignment.context
    finally:
        tree.disarm()
        if timer is not None:
            timer.cancel()


@asynccontextmanager
async def _sandbox(tree: Tree, holdings: Holdings) -> AsyncIterator[Sandbox]:
    """Open the tree's sandbox; the SDK is imported while the fork server boots.

    The root run waits for it: one that is slow to start, or does not, is in the run's record.
    """
    config, clients = tree.config, tree.models.clients
    if holdings.kept is not None:
        async with holdings.kept.turn_of(lambda: holdings.sandbox(config)) as sandbox:
            clients.prepare(config.root)
            yield sandbox
        return
    sandbox = holdings.sandbox(config)
    clients.prepare(config.root)
    try:
        yield sandbox
    finally:
        await uncancellable(sandbox.close())


async def _assignment(tree: Tree, request: Request) -> RunSpec:
    config, replay = tree.config, tree.replay
    context, remark, question = request.prompt, "", request.root_prompt
    if replay is not None:
        context, info = await asyncio.to_thread(replay.context, context)
        question = replay.question if question is None else question
    elif isinstance(context, Path):
        context, remark = await asyncio.to_thread(read_path, context)
    if replay is None:
        if isinstance(context, str | bytes):
            info = describe(context, remark)
        else:  # Counting a long list must not hold up the other runs.
            info = await asyncio.to_thread(describe, context, remark)
    return RunSpec(
        context=context,
        info=info,
        root_prompt=question,
        depth=config.depth,
        model=config.root,
        tools=config.custom_tools,
        sub_tools=config.custom_sub_tools,
        user_prologue=config.user_prologue,
    )
