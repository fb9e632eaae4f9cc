"""Lets a test be a coroutine, and gives it real kernels."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import inspect
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from modal_standin.fixture import MODAL_KWARGS, modal  # noqa: F401 - a fixture of every test here
from shells import Notebook, opened

from rlm import RLM
from rlm.core.environments import new_sandbox
from rlm.demo.server import script
from rlm_kernel.context.value import context_value
from rlm_kernel.docker.engine import engine, engine_address
from rlm_kernel.docker.images import Images
from rlm_kernel.docker.options import docker_options
from rlm_kernel.errors import SandboxError
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.session import Session, open_session
from rlm_kernel.host.subcalls import Call, CallAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from rlm.demo.server import LMResponse, StandInServer
    from rlm_kernel.host.sandbox import Sandbox


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

    def __init__(self, session: Session, sandbox: Sandbox) -> None:
        self.session = session
        self.sandbox = sandbox
        self.run = session.execute

    async def out(self, code: str) -> str:
        """Run a cell that must succeed and return what it wrote to stdout."""
        result = await self.run(code, timeout=60)
        assert result.status == "ok", result
        return text(result.outputs)

    async def seen_by_another(self, code: str) -> str:
        """Run a cell in another kernel of the same sandbox and return what it wrote."""
        other = await open_session(self.sandbox, KernelOptions(), echo)
        try:
            return await Kernel(other, self.sandbox).out(code)
        finally:
            await other.close()

    async def give(self, value: Any, name: str = "context_0") -> None:
        """Place a value and attach it."""
        await self.session.attach(name, await self.sandbox.place(context_value(value)))


def text(outputs: tuple[dict[str, Any], ...]) -> str:
    return "".join(o["text"] for o in outputs if o.get("name") == "stdout")


async def echo(call: Call) -> CallAnswer:
    return CallAnswer(value=f"echo {call.prompt}")


DOCKER_KWARGS: dict[str, Any] = {"packages": ["pandas"]}
"""What the tests' containers are made with (`.ci/needs` makes their image)."""


@functools.cache
def docker_trouble() -> str | None:
    """Return why no container can be started here; None when one can."""
    if importlib.util.find_spec("docker") is None:
        return "the package docker"
    try:
        address = engine_address()
        Images(engine(address), address).resolve(docker_options(DOCKER_KWARGS))
    except SandboxError as error:
        return f"a Docker engine with an image for kernels ({error})"
    return None


@pytest.fixture
def docker(require: Callable[[object, str], None]) -> dict[str, Any]:
    """A Docker engine is there; the value is the tests' `environment_kwargs`."""
    trouble = docker_trouble()
    require(trouble is None, trouble or "")
    return dict(DOCKER_KWARGS)


@pytest.fixture(params=["local", "docker", "modal"])
def environment(request: pytest.FixtureRequest) -> str:
    """Every environment that kernels run in, one after another."""
    name: str = request.param
    if name != "local":
        request.getfixturevalue(name)
    return name


def environment_kwargs(environment: str) -> dict[str, Any]:
    return dict({"docker": DOCKER_KWARGS, "modal": MODAL_KWARGS}.get(environment, {}))


@pytest.fixture
def open_kernel(environment: str) -> Callable[..., Any]:
    """`async with open_kernel() as kernel`: a real kernel in a sandbox of its own."""

    @asynccontextmanager
    async def opened(
        on_call: Callable[[Call], Awaitable[CallAnswer]] = echo, **options: Any
    ) -> AsyncIterator[Kernel]:
        sandbox = new_sandbox(environment, environment_kwargs(environment))
        try:
            await sandbox.start()
            session = await open_session(sandbox, KernelOptions(**options), on_call)
            try:
                yield Kernel(session, sandbox)
            finally:
                await session.close()
        finally:
            await sandbox.close()

    return opened


class ScriptedRLM:
    """Makes RLMs whose model is a script behind a real HTTP server."""

    def __init__(
        self, serve: Callable[..., StandInServer], running: ExitStack, environment: str
    ) -> None:
        self.environment = environment
        self._serve = serve
        self.running = running
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
        options.setdefault("environment", self.environment)
        kwargs = environment_kwargs(options["environment"])
        options["environment_kwargs"] = {**kwargs, **options.get("environment_kwargs", {})}
        return self.running.enter_context(RLM(**options))

    @staticmethod
    def environment_kwargs(environment: str) -> dict[str, Any]:
        """Return what the tests give an environment."""
        return environment_kwargs(environment)

    def shown(self, turn: int) -> str:
        """Return what the model was shown between its reply of one turn and the next request."""
        request = next(r for r in self.server.requests if r.is_root and r.turn == turn + 1)
        last = max(i for i, m in enumerate(request.messages) if m["role"] == "assistant")
        return "\n".join(str(m["content"]) for m in request.messages[last + 1 :])


@pytest.fixture
def scripted(server: Callable[..., StandInServer], environment: str) -> Iterator[ScriptedRLM]:
    """`scripted(root=[...], sub=...)`: an RLM with a scripted model, closed after the test."""
    with ExitStack() as running:
        yield ScriptedRLM(server, running, environment)


@pytest.fixture
def notebook(tmp_path: Path, server: Callable[..., StandInServer]) -> Iterator[Notebook]:
    """An IPython shell with the magics loaded."""
    with opened(tmp_path, server) as shell:
        yield shell
