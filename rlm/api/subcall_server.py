"""Answers `llm_query` and `rlm_query` in a notebook kernel, where a person writes the code.

`rlm_kernel.subcall_server` finds it by the entry-point group of that name and runs it in a separate
process next to the kernel: keys and limits stay here, outside the sandbox. Children are ordinary
runs; their kernels share one sandbox of the notebook's environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rlm.api.rlm import RLM
from rlm.context import describe
from rlm.core.environments import new_sandbox, unknown_arguments
from rlm.core.model_calls import Clients
from rlm.core.recorder import Recorder
from rlm.core.run import run
from rlm.core.subcalls import SubCallHandler, as_messages
from rlm.core.tree import RunSpec, new_tree
from rlm.errors import ConfigurationError, RLMError
from rlm.events import RunStarted
from rlm_kernel.host.subcalls import CallAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rlm.core.config import RunConfig
    from rlm.core.tree import Tree
    from rlm_kernel.host.sandbox import Sandbox
    from rlm_kernel.host.subcalls import Call, CallHandler

_TAKEN = (
    *("backend", "backend_kwargs", "other_backends", "other_backend_kwargs", "prices"),
    *("sampling_args", "sub_sampling_args", "context_window", "custom_system_prompt"),
    *("max_depth", "max_iterations", "max_budget", "max_tokens", "max_errors", "max_restarts"),
    *("orchestrator", "compaction", "compaction_threshold_pct", "cell_timeout", "head_only"),
    *("max_concurrent_subcalls", "max_concurrent_queries", "show_images", "python_fences"),
)
"""The arguments of `RLM` that a notebook may give: a time limit on a whole notebook is none."""

MAX_DEPTH = 2
"""The default: a person's `rlm_query` starts a child, and the child's is one plain call."""


@asynccontextmanager
async def subcall_server(settings: dict[str, Any]) -> AsyncIterator[CallHandler]:
    """Yield the handler of one notebook's calls.

    Args:
        settings: `environment` and `environment_kwargs`, as `RLM` takes them, and `rlm`: further
            arguments of `RLM` (JSON). If they name no model, the environment variables RLM_BACKEND,
            RLM_MODEL and RLM_BASE_URL do.
    """
    try:
        config = notebook_config(settings)
    except RLMError as error:
        refusal = CallAnswer(value=f"Error: {error}")
        print(f"rlm: sub-calls cannot be answered: {error}", file=sys.stderr)  # noqa: T201 - the server's log

        async def refuse(_: Call) -> CallAnswer:
            return refusal

        yield refuse
        return
    notebook = NotebookCalls(config)
    try:
        yield notebook
    finally:
        await notebook.close()


def notebook_config(settings: dict[str, Any]) -> RunConfig:
    """Return the configuration of a notebook's children and plain calls.

    Raises:
        RLMError: A value is not allowed.
    """
    given: dict[str, Any] = dict(settings.get("rlm") or {})
    if unknown := set(given) - set(_TAKEN):
        where = "The kernelspec's provisioner config `rlm`"
        raise unknown_arguments(unknown, _TAKEN, where)
    backend_kwargs = given.get("backend_kwargs") or {}
    if "backend" not in given and isinstance(backend_kwargs, dict):
        given["backend"] = os.environ.get("RLM_BACKEND") or "openai"
        for name, variable in (("model_name", "RLM_MODEL"), ("base_url", "RLM_BASE_URL")):
            if os.environ.get(variable):
                backend_kwargs = {name: os.environ[variable], **backend_kwargs}
        given["backend_kwargs"] = backend_kwargs
    if isinstance(backend_kwargs, dict) and not backend_kwargs.get("model_name"):
        raise ConfigurationError(
            "no model is configured; set RLM_MODEL (and RLM_BACKEND) before the kernel starts, or "
            "backend_kwargs in the kernelspec's provisioner config `rlm`."
        )
    return RLM(
        environment=settings["environment"],
        environment_kwargs=settings.get("environment_kwargs"),
        **{"max_depth": MAX_DEPTH, **given},
    ).config


class NotebookCalls:
    """Answers the calls of one notebook's kernels.

    Each call is a separate tree, and its record is dropped when it has been answered: a notebook
    may be open for a week, and must not keep all prompts in memory. The limits apply to the whole
    notebook.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._clients = Clients()
        self._tree = new_tree(config, self._clients, Recorder(), started=time.perf_counter())
        self._person = RunSpec(
            context="",
            info=describe(""),
            root_prompt=None,
            depth=config.depth,
            model=config.root,
            tools=(),
            sub_tools=(),
        )
        self._public = config.public()
        self._opening = asyncio.Lock()
        self._sandbox: Sandbox | None = None
        self._clients.prepare(config.root)

    async def __call__(self, call: Call) -> CallAnswer:
        """Answer one call; the caller runs each in a new task."""
        if call.kind == "chat":
            return CallAnswer(value=json.dumps(await self._chat(call)))
        recorder = Recorder()
        tree = self._tree.with_recorder(recorder)
        recorder.begin()
        with recorder.span(new_run=True):
            recorder.emit(
                RunStarted,
                depth=self._person.depth,
                model=self._person.model.name,
                config=self._public,
                root_prompt=None,
                context=self._person.info.to_dict(),
            )
            return await SubCallHandler(tree, self._person, self._child)(call)

    async def _chat(self, call: Call) -> dict[str, Any]:
        """Ask a model for a run inside the notebook's kernel (`rlm.backends.notebook_client`)."""
        try:
            spec = self._tree.models.route(call.model)
            reply = await self._tree.models.ask(spec, as_messages(call.prompt))
        except RLMError as error:
            return {"error": str(error)}
        usage = asdict(reply.usage)
        return {"text": reply.text, "usage": usage, "finish_reason": reply.finish_reason}

    async def _child(self, tree: Tree, spec: RunSpec) -> str:
        tree.sandbox = await self._open()
        return await run(tree, spec)

    async def _open(self) -> Sandbox:
        """Return the children's sandbox; the first child opens it."""
        async with self._opening:
            if self._sandbox is None:
                sandbox = new_sandbox(self._config.environment, self._config.environment_kwargs)
                try:
                    await sandbox.start()
                except BaseException:
                    await sandbox.close()
                    raise
                self._sandbox = sandbox
            return self._sandbox

    async def close(self) -> None:
        """Free everything."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            await sandbox.close()
        await self._clients.close()
