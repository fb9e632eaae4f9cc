"""One `completion()` on the engine's loop: build the tree, run its root, return the outcome."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.context import describe
from rlm.core.loop import uncancellable
from rlm.core.repl import StoppedByUserError
from rlm.core.replay_port import NOT_GIVEN
from rlm.core.run import run, run_single_call
from rlm.core.tree import RunSpec, new_tree
from rlm.core.types import RLMChatCompletion
from rlm.errors import CancellationError, RLMError
from rlm.redaction import remember_secrets
from rlm.usage import UsageSummary
from rlm_kernel.context.read_path import read_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rlm.core.config import RunConfig
    from rlm.core.recorder import Recorder
    from rlm.core.replay_port import Replay
    from rlm.core.resources import Resources
    from rlm.core.tree import Tree


async def complete(
    config: RunConfig,
    resources: Resources,
    recorder: Recorder,
    *,
    prompt: Any,
    root_prompt: str | None,
    started: float,
) -> RLMChatCompletion | RLMError:
    """Answer a question about a context: open a sandbox, and let `run` do the rest.

    The error of a failed run is returned, and raised where the user waits: a `CancellationError` is
    a `KeyboardInterrupt` too, which would end the engine's loop.

    Args:
        config: The configuration.
        resources: What the `RLM` keeps between completions.
        recorder: Emits the events.
        prompt: The context, as the user gave it; `NOT_GIVEN`: the log's.
        root_prompt: The question.
        started: When `completion()` was called (`time.perf_counter`).
    """
    recorder.begin()
    remember_secrets(config.secrets())
    tree = new_tree(config, resources.clients, recorder, started=started)
    try:
        with resources.running(), tree.stoppable():
            tree.replay = _replay(tree, resources)
            if config.depth >= config.max_depth:
                spec = await _run_spec(tree, prompt, root_prompt)
                answer = await run_single_call(tree, spec)
            else:
                async with _sandbox(tree, resources):
                    spec = await _run_spec(tree, prompt, root_prompt)
                    answer = await run(tree, spec, kept=resources.kept)
                    tree.disarm()
    except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - the record must not be lost
        return _error_for_user(error, tree, resources)
    return RLMChatCompletion(
        root_model=config.root.name,
        prompt=spec.context if prompt is NOT_GIVEN else prompt,
        response=answer,
        usage_summary=recorder.trajectory.usage or UsageSummary(),
        execution_time=time.perf_counter() - started,
        trajectory=recorder.trajectory,
    )


def _replay(tree: Tree, resources: Resources) -> Replay | None:
    """Let a log answer in the models' place if this completion is a replay, a resume or a fork."""
    if tree.config.replay is None:
        return None
    number = resources.replayed if tree.config.persistent else 0
    replay = tree.config.replay.replay(number, tree.models, tree.recorder)
    if replay is not None:
        resources.replayed += 1
    return replay


@asynccontextmanager
async def _sandbox(tree: Tree, resources: Resources) -> AsyncIterator[None]:
    """Make the tree's sandbox, and import the provider's SDK while the fork server boots.

    The root run starts the sandbox, so that its record shows a slow or failed start.
    """
    config, clients = tree.config, tree.models.clients
    if resources.kept is not None:
        async with resources.kept.turn_of(lambda: resources.sandbox(config)) as tree.sandbox:
            clients.prepare(config.root)
            yield
        return
    tree.sandbox = resources.sandbox(config)
    clients.prepare(config.root)
    try:
        yield
    finally:
        await uncancellable(tree.sandbox.close())


async def _run_spec(tree: Tree, prompt: Any, root_prompt: str | None) -> RunSpec:
    """Read and describe the context, and return what the root run does."""
    config, replay = tree.config, tree.replay
    context, remark, question = prompt, "", root_prompt
    if replay is not None:
        context, info = await asyncio.to_thread(replay.context, context)
        question = replay.question if question is None else question
    else:
        if isinstance(context, Path):
            context, remark = await asyncio.to_thread(read_path, context)
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


def _error_for_user(error: BaseException, tree: Tree, resources: Resources) -> RLMError:
    """Return how a run failed, with its record and its best answer so far."""
    failure: RLMError
    if isinstance(error, asyncio.CancelledError):
        closed = "The RLM was closed while the run went on." if resources.closed else None
        failure = tree.limits.exceeded_by or CancellationError(message=closed)
    elif isinstance(error, StoppedByUserError):
        failure = CancellationError(message=str(error))
    elif isinstance(error, RLMError):
        failure = error
    else:
        failure = RLMError(f"The run failed unexpectedly: {type(error).__name__}: {error}")
        failure.__cause__ = error
    failure.trajectory = tree.recorder.trajectory
    root = tree.recorder.trajectory.root
    if root is not None and failure.partial_answer is None:
        failure.partial_answer = root.answer
    return failure
