"""Gives a run its kernel: newly forked, or kept from the last completion."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

from rlm.core.loop import uncancellable
from rlm.errors import ContextError, KernelDiedError, SandboxError
from rlm_kernel.context.value import context_value
from rlm_kernel.host.kernel_options import OUTPUT_LIMIT, KernelOptions
from rlm_kernel.host.session import open_session
from rlm_kernel.host.subcalls import Call, CallAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rlm.core.config import RunConfig
    from rlm.core.tools import Tool
    from rlm.core.tree import RunSpec
    from rlm.events import Message
    from rlm_kernel.context.value import ContextValue, PlacedContext
    from rlm_kernel.host.sandbox import Sandbox
    from rlm_kernel.host.session import Session
    from rlm_kernel.host.subcalls import CallHandler


@contextlib.asynccontextmanager
async def forked_kernel(
    config: RunConfig,
    sandbox: Sandbox,
    spec: RunSpec,
    on_call: CallHandler,
    on_context: Callable[[ContextValue], None],
) -> AsyncIterator[Session]:
    """Fork a kernel with the run's context and tools in it; the kernel ends with the run.

    `on_context` is called with the context when it is ready to travel.

    Raises:
        ContextError: The context cannot be loaded into the kernel.
        SandboxError: The kernel cannot be started.
    """
    async with _placed(sandbox, spec.context, on_context) as placing:
        session = await open_session(sandbox, _options(config, spec.tools), on_call)
        try:
            await session.attach("context_0", await placing)
            await _give_values(sandbox, session, spec.tools)
            yield session
        finally:
            await uncancellable(session.close())


class KeptKernel:
    """The kernel of a `persistent` RLM: it serves one run at a time and keeps all their contexts.

    Attributes:
        contexts: How many contexts it has.
        histories: How many conversations it has.
        lost: Whether it died after the last run, and all variables with it.
    """

    def __init__(self) -> None:
        self.contexts = 0
        self.histories = 0
        self.lost = False
        self._lock = asyncio.Lock()
        self._sandbox: Sandbox | None = None
        self._session: Session | None = None
        self._handler: CallHandler | None = None

    @contextlib.asynccontextmanager
    async def turn_of(self, make_sandbox: Callable[[], Sandbox]) -> AsyncIterator[Sandbox]:
        """Wait until no other run has the kernel, then hold it; yields its sandbox."""
        async with self._lock:
            if self._sandbox is None:
                self._sandbox = make_sandbox()
            try:
                await self._sandbox.start()
                yield self._sandbox
            except SandboxError:
                await uncancellable(self.close())  # The next run begins with a new one.
                raise

    @contextlib.asynccontextmanager
    async def lent(
        self,
        config: RunConfig,
        spec: RunSpec,
        on_call: CallHandler,
        on_context: Callable[[ContextValue], None],
    ) -> AsyncIterator[Session]:
        """Lend the kernel to one run and add its context; otherwise like `forked_kernel`."""
        self._handler = on_call  # Before the kernel starts: its `setup_code` may call.
        try:
            yield await self._ready(config, spec, on_context)
        finally:
            self._handler = None

    async def _ready(
        self,
        config: RunConfig,
        spec: RunSpec,
        on_context: Callable[[ContextValue], None],
    ) -> Session:
        """Return the session, started if necessary, with the run's context in it."""
        assert self._sandbox is not None
        if self._session is None:
            options = _options(config, spec.tools)
            session = await open_session(self._sandbox, options, self._answer)
            try:
                await _give_values(self._sandbox, session, spec.tools)
            except BaseException:
                await uncancellable(session.close())
                raise
            self._session = session
        session = self._session
        placed = await _place(self._sandbox, spec.context, on_context)
        self.lost = False
        try:
            await session.attach(f"context_{self.contexts}", placed)
        except ContextError as error:
            if not isinstance(error.__cause__, KernelDiedError):
                raise
            # It died after the last run. If this context kills it, it dies again below.
            await session.restart()
            self.lost = True
            await session.attach(f"context_{self.contexts}", placed)
        self.contexts += 1
        return session

    async def remember(self, messages: list[Message]) -> None:
        """Keep a conversation in the REPL as `history_N`."""
        if self._session is not None:
            # The answer stands even if the kernel has died: the next run replaces the kernel.
            with contextlib.suppress(KernelDiedError):
                await self._session.assign(f"history_{self.histories}", messages)
            self.histories += 1

    async def close(self) -> None:
        """End the kernel and its sandbox."""
        session, self._session = self._session, None
        sandbox, self._sandbox = self._sandbox, None
        self.contexts = self.histories = 0
        try:
            if session is not None:
                await session.close()
        finally:
            if sandbox is not None:
                await sandbox.close()

    async def _answer(self, call: Call) -> CallAnswer:
        if self._handler is None:  # A thread that a cell left behind called.
            return CallAnswer(error="no run is under way")
        return await self._handler(call)


def _options(config: RunConfig, tools: tuple[Tool, ...]) -> KernelOptions:
    kwargs = config.environment_kwargs
    return KernelOptions(
        setup_code=kwargs.get("setup_code"),
        memory_limit=config.memory_limit,
        output_limit=kwargs.get("output_limit", OUTPUT_LIMIT),
        env=dict(kwargs.get("env") or {}),
        tools=tuple(tool.name for tool in tools if tool.is_callable),
        sys_path=_own_folders(),
    )


def _own_folders() -> tuple[str, ...]:
    """Return the folders of the user's modules, which a pickled context may need."""
    installed = {os.path.realpath(path) for path in sysconfig.get_paths().values()}
    installed.add(os.path.realpath(os.path.dirname(os.__file__)))  # noqa: PTH120 - plain strings
    found = []
    for entry in sys.path:
        folder = os.path.realpath(entry or ".")
        inside = any(folder == path or folder.startswith(path + os.sep) for path in installed)
        if not inside and os.path.isdir(folder):  # noqa: PTH112 - plain strings, often
            found.append(folder)
    return tuple(dict.fromkeys(found))


@contextlib.asynccontextmanager
async def _placed(
    sandbox: Sandbox, value: Any, on_context: Callable[[ContextValue], None]
) -> AsyncIterator[asyncio.Future[PlacedContext]]:
    """Place a value in the sandbox while the kernel starts; discard it when the run ends."""
    placing = asyncio.ensure_future(_place(sandbox, value, on_context))

    async def discard() -> None:
        placing.cancel()
        await asyncio.wait({placing})
        if not placing.cancelled() and placing.exception() is None:
            await sandbox.discard(placing.result())

    try:
        yield placing
    finally:
        await uncancellable(discard())


async def _place(
    sandbox: Sandbox, value: Any, on_value: Callable[[ContextValue], None] | None = None
) -> PlacedContext:
    if isinstance(value, str | bytes):
        travelling = context_value(value)
    else:  # Pickling a big frame must not hold up the other runs.
        travelling = await asyncio.to_thread(context_value, value)
    if on_value is not None:
        on_value(travelling)
    return await sandbox.place(travelling)


async def _give_values(sandbox: Sandbox, session: Session, tools: tuple[Tool, ...]) -> None:
    """Make variables of the tools that are not functions."""
    for tool in tools:
        if tool.is_callable:
            continue
        if _is_small_json(tool.value):
            await session.assign(tool.name, tool.value)
            continue
        try:
            await session.attach(tool.name, await _place(sandbox, tool.value))
        except ContextError as error:
            text = str(error).replace("The context", f"The custom tool {tool.name!r}", 1)
            raise ContextError(text) from error


def _is_small_json(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) < 1 << 20
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False
