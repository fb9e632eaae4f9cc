"""Answers the sub-calls of one run's cells: one model call, a child run, or a host tool."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
    from collections.abc import Awaitable, Callable, Iterator

    from rlm.backends.base import ModelSpec
    from rlm.core.recorder import Span
    from rlm.core.tree import Tree
    from rlm.events import Message, SubCallKind
    from rlm_kernel.host.subcalls import Call

CANCELLED = "The call was cancelled."
"""The error of a call that the cell no longer waits for."""

_NO_USAGE = CallUsage()


@dataclass(slots=True)
class _Outcome:
    """What `SubCallFinished` says of a call."""

    response: Any = None
    error: str | None = None
    usage: CallUsage = _NO_USAGE
    reasoning: str = ""


class SubCallHandler:
    """The call handler of one run's kernel; a failure is an answer, never an exception.

    Attributes:
        cell: The cell that runs, or ran last: calls of threads that it left behind belong to it.
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
        with self._recorded(kind, model.name, prompt) as outcome:
            try:
                reply = await work
                outcome.response, outcome.usage = reply.text, reply.usage
                outcome.reasoning = reply.reasoning
            except (LimitExceededError, UnknownCostError, ReplayMissError) as error:
                outcome.error = str(error)
                # A child's failing turns end the child; any other limit ends the whole tree.
                if not isinstance(error, ErrorThresholdExceededError):
                    self._tree.stop(error)
            except Exception as error:  # noqa: BLE001 - llm_query never raises, whatever happened
                outcome.error = str(error) or type(error).__name__
                if not isinstance(error, RLMError):
                    outcome.error = f"{type(error).__name__}: {outcome.error}"
        if outcome.usage is not _NO_USAGE:
            self._check_limits()
        return CallAnswer(value=outcome.response)

    @contextmanager
    def _recorded(self, kind: SubCallKind, model: str, prompt: Any) -> Iterator[_Outcome]:
        """Emit the start and the end of a sub-call; the outcome is filled in between."""
        recorder = self._tree.recorder
        with recorder.span(under=self.cell):
            recorder.emit(SubCallStarted, kind=kind, model=model, prompt=prompt)
            began, outcome = time.perf_counter(), _Outcome()
            try:
                yield outcome
            except asyncio.CancelledError:
                outcome.error = CANCELLED
                raise
            finally:
                if outcome.error is not None and kind != "tool":
                    outcome.response = f"Error: {outcome.error}"
                recorder.emit(
                    SubCallFinished,
                    kind=kind,
                    model=model,
                    response=outcome.response,
                    error=outcome.error,
                    usage=outcome.usage,
                    duration=time.perf_counter() - began,
                    reasoning=outcome.reasoning,
                )

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
        name = str(call.name)
        with self._recorded("tool", name, call.prompt) as outcome:
            try:
                outcome.response, outcome.error = await self._call_tool(name, call.prompt)
            except ToolFailedError as error:
                outcome.error = str(error)
            except ReplayMissError as error:
                outcome.error = str(error)
                self._tree.stop(error)
        if outcome.error:
            return CallAnswer(error=outcome.error)
        return CallAnswer(value=json.dumps(outcome.response))

    async def _call_tool(self, name: str, prompt: dict[str, Any]) -> tuple[Any, str | None]:
        """Call a tool, or take its value and error from the log that is replayed."""

        async def call() -> Any:
            tool, kwargs = self._tools.get(name), prompt.get("kwargs") or {}
            return await call_tool(tool, name, prompt["args"], kwargs)

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
