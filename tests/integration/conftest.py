"""Lets a test be a coroutine, and gives it real kernels."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from rlm import RLM
from rlm.demo.server import script
from rlm_kernel.answering import Call, CallAnswer
from rlm_kernel.local import local_sandbox
from rlm_kernel.options import KernelOptions
from rlm_kernel.payload import context_value
from rlm_kernel.session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from rlm.demo.server import LMResponse, StandInServer
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


class ScriptedRLM:
    """Makes RLMs whose model is a script behind a real HTTP server."""

    def __init__(self, serve: Callable[..., StandInServer], running: ExitStack) -> None:
        self._serve = serve
        self._running = running
        self.server: StandInServer

    def __call__(
        self,
        root: Any,
        sub: Callable[[str], str | LMResponse] = lambda _: "ok",
        *,
        latency: float = 0.0,
        model: str = "m",
        **options: Any,
    ) -> RLM:
        """Return an RLM; `root` and `sub` are a `rlm.demo.server.script`'s, the rest is its own."""
        self.server = self._serve(script(root, sub), latency=latency)
        options["backend_kwargs"] = {
            "model_name": model,
            "base_url": self.server.base_url,
            **options.get("backend_kwargs", {}),
        }
        return self._running.enter_context(RLM(**options))

    def shown(self, turn: int) -> str:
        """Return what the model was shown between its reply of one turn and the next request."""
        request = next(r for r in self.server.requests if r.is_root and r.turn == turn + 1)
        last = max(i for i, m in enumerate(request.messages) if m["role"] == "assistant")
        return "\n".join(str(m["content"]) for m in request.messages[last + 1 :])


@pytest.fixture
def scripted(server: Callable[..., StandInServer]) -> Iterator[ScriptedRLM]:
    """`scripted(root=[...], sub=...)`: an RLM with a scripted model, closed after the test."""
    with ExitStack() as running:
        yield ScriptedRLM(server, running)
