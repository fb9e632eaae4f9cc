"""Answers the sub-calls of one run's cells: a single model call, a child run, or a host tool."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rlm.backends.base import LMReply
from rlm.context import describe
from rlm.core.model_calls import UnknownModelError, count_characters
from rlm.core.tools import ToolFailedError, call_tool
from rlm.core.tree import RunSpec
from rlm.errors import (
    ErrorThresholdExceededError,
    LimitExceededError,
    ReplayMissError,
    RLMError,
    UnknownCostError,
)
from rlm.events import CallUsage, SubCallFinished, SubCallStarted
from rlm_kernel.host.subcalls import CallAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rlm.backends.base import ModelSpec
    from rlm.core.recorder import Span
    from rlm.core.tools import Tool
    from rlm.core.tree import Tree
    from rlm.events import Message, SubCallKind
    from rlm_kernel.host.subcalls import Call

CANCELLED = "The call was cancelled."
"""The error of a call whose caller no longer waits."""

_NO_USAGE = CallUsage()
_NO_REPLY = LMReply(text="", model="", usage=_NO_USAGE)


class SubCalls:
    """The call handler of one run's kernel; a failure is an answer, never an exception.

    Args:
        tree: The run's tree.
        spec: The run's context, question and model.
        run_child: Runs a child to its answer.

    Attributes:
        cell: The cell that runs, or ran last: it also gets the calls of threads it left behind.
            Before the first cell it is the run itself, for calls of `setup_code`.
    """

    def __init__(
        self,
        tree: Tree,
        spec: RunSpec,
        run_child: Callable[[Tree, RunSpec], Awaitable[str]],
    ) -> None:
        self._tree = tree
        self._spec = spec
        self._run_child = run_child
        self._tools = {tool.name: tool for tool in spec.tools if tool.is_callable}
        self._pending: set[asyncio.Task[Any]] = set()
        self._closed = False
        self.cell: Span | None = tree.recorder.here()

    async def __call__(self, call: Call) -> CallAnswer:
        """Answer one call; the caller runs each in a new task."""
        if self._closed:  # a thread that a cell left behind still calls
            return CallAnswer(error=CANCELLED)
        task = asyncio.current_task()
        assert task is not None
        self._pending.add(task)
        try:
            if call.kind == "tool":
                return await self._tool(call)
            return await self._query(call)
        finally:
            self._pending.discard(task)

    async def close(self) -> None:
        """Cancel the pending calls, wait until they have ended, and refuse further ones."""
        self._closed = True
        pending = self._pending - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)

    async def _query(self, call: Call) -> CallAnswer:
        prompt, depth = call.prompt, self._spec.depth + 1
        try:
            model = self._tree.models.route(call.model)
        except UnknownModelError as error:
            model = replace(self._spec.model, name=str(call.model))
            return await self._record_query("llm", model, prompt, _raising(error))
        if call.kind == "rlm" and depth < self._tree.config.max_depth:
            return await self._record_query("rlm", model, prompt, self._child(prompt, model, depth))
        return await self._record_query("llm", model, prompt, self._plain(prompt, model))

    async def _record_query(
        self,
        kind: SubCallKind,
        model: ModelSpec,
        prompt: Any,
        work: Awaitable[LMReply],
    ) -> CallAnswer:
        """Answer a query by the response and usage that `work` returns, and emit its events."""
        recorder = self._tree.recorder
        with recorder.span(under=self.cell):
            recorder.emit(SubCallStarted, kind=kind, model=model.name, prompt=prompt)
            began = time.perf_counter()
            response, reply, problem = "", _NO_REPLY, None
            try:
                reply = await work
                response = reply.text
            except asyncio.CancelledError:
                problem = CANCELLED
                raise
            except (LimitExceededError, UnknownCostError, ReplayMissError) as error:
                problem = str(error)
                # A child's failing turns are the child's; any other limit is the whole tree's.
                if not isinstance(error, ErrorThresholdExceededError):
                    self._tree.stop(error)
            except Exception as error:  # noqa: BLE001 - llm_query never raises, whatever happened
                problem = str(error) or type(error).__name__
                if not isinstance(error, RLMError):
                    problem = f"{type(error).__name__}: {problem}"
            finally:
                if problem is not None:
                    response = f"Error: {problem}"
                recorder.emit(
                    SubCallFinished,
                    kind=kind,
                    model=model.name,
                    response=response,
                    error=problem,
                    usage=reply.usage,
                    duration=time.perf_counter() - began,
                    reasoning=reply.reasoning,
                )
        if reply.usage is not _NO_USAGE:
            self._check_limits()
        return CallAnswer(value=response)

    async def _plain(self, prompt: Any, model: ModelSpec) -> LMReply:
        messages = as_messages(prompt)
        self._tree.models.require_fit(model, count_characters(messages))
        on_retry = self._tree.recorder.note_retry
        return await self._tree.models.ask(model, messages, on_retry=on_retry)

    async def _child(self, prompt: Any, model: ModelSpec, depth: int) -> LMReply:
        async with self._tree.child_slots(depth):
            self._tree.limits.check()
            answer = await self._run_child(
                self._tree,
                RunSpec(
                    context=prompt,
                    info=describe(prompt, inline=False),  # `SubCallStarted` has the prompt.
                    root_prompt=None,
                    depth=depth,
                    model=model,
                    tools=self._spec.sub_tools,
                    sub_tools=self._spec.sub_tools,
                ),
            )
        return LMReply(text=answer, model=model.name, usage=_NO_USAGE)

    async def _tool(self, call: Call) -> CallAnswer:
        recorder = self._tree.recorder
        name, tool = str(call.name), self._tools.get(str(call.name))
        with recorder.span(under=self.cell):
            recorder.emit(SubCallStarted, kind="tool", model=name, prompt=call.prompt)
            began = time.perf_counter()
            value, problem = None, None
            try:
                value, problem = await self._call_tool(tool, name, call.prompt)
            except asyncio.CancelledError:
                problem = CANCELLED
                raise
            except ToolFailedError as error:
                problem = str(error)
            except ReplayMissError as error:
                problem = str(error)
                self._tree.stop(error)
            finally:
                recorder.emit(
                    SubCallFinished,
                    kind="tool",
                    model=name,
                    response=value,
                    error=problem,
                    usage=_NO_USAGE,
                    duration=time.perf_counter() - began,
                )
        return CallAnswer(error=problem) if problem else CallAnswer(value=json.dumps(value))

    async def _call_tool(
        self, tool: Tool | None, name: str, prompt: dict[str, Any]
    ) -> tuple[Any, str | None]:
        """Call a tool, or take its value and error from the log that is replayed."""

        async def call() -> Any:
            return await call_tool(tool, name, prompt["args"], prompt.get("kwargs") or {})

        if self._tree.replay is not None:
            return await self._tree.replay.tool(call)
        return await call(), None

    def _check_limits(self) -> None:
        try:
            self._tree.limits.check()
        except (LimitExceededError, UnknownCostError) as error:
            self._tree.stop(error)


def as_messages(prompt: Any) -> list[Message]:
    """Return text, a message, a list of messages or any other JSON value as a chat."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    if isinstance(prompt, dict) and "role" in prompt and "content" in prompt:
        return [prompt]
    if (
        isinstance(prompt, list)
        and prompt
        and all(
            isinstance(message, dict) and "role" in message and "content" in message
            for message in prompt
        )
    ):
        return prompt
    return [{"role": "user", "content": json.dumps(prompt, ensure_ascii=False, default=str)}]


async def _raising(error: Exception) -> LMReply:
    raise error
