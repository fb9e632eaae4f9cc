"""Lets a test be a coroutine, and gives it real kernels."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from rlm_kernel.answering import Call, CallAnswer
from rlm_kernel.local import local_sandbox
from rlm_kernel.options import KernelOptions
from rlm_kernel.payload import context_value
from rlm_kernel.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from rlm_kernel.local import LocalSandbox


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


class Kernel:
    """A session with shorthands for what tests ask of it."""

    def __init__(self, session: Session, sandbox: LocalSandbox) -> None:
        self.session = session
        self.sandbox = sandbox
        self.run = session.execute

    async def out(self, code: str) -> str:
        """Run a cell that must succeed and return what it wrote to stdout."""
        result = await self.run(code, timeout=60)
        assert result.status == "ok", result
        return text(result.outputs)

    async def give(self, value: Any, name: str = "context_0") -> None:
        """Place a value and attach it."""
        await self.session.attach(name, await self.sandbox.place(context_value(value)))


def text(outputs: tuple[dict[str, Any], ...]) -> str:
    return "".join(o["text"] for o in outputs if o.get("name") == "stdout")


async def echo(call: Call) -> CallAnswer:
    return CallAnswer(value=f"echo {call.prompt}")


@pytest.fixture
def open_kernel() -> Callable[..., Any]:
    """`async with open_kernel() as kernel`: a real kernel on this machine."""

    @asynccontextmanager
    async def opened(
        on_call: Callable[[Call], Awaitable[CallAnswer]] = echo, **options: Any
    ) -> AsyncIterator[Kernel]:
        sandbox = local_sandbox()
        try:
            await sandbox.start()
            session = await sandbox.spawn(KernelOptions(**options), on_call)
            try:
                yield Kernel(session, sandbox)
            finally:
                await session.close()
        finally:
            await sandbox.close()

    return opened
