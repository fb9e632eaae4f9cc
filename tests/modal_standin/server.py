"""The stand-in's server: on a thread of its own, so that tests can block."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Self

from grpclib.server import Server
from stop_accepting import stop_accepting

from modal_standin.services import (
    _TERMINATED,
    TIMED_OUT,
    TOKEN,
    ControlPlane,
    Router,
    Sandbox,
    World,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

_SECONDS = 30


class _Server(Server):
    """A server that can hang up."""

    def __init__(self, world: World) -> None:
        super().__init__([ControlPlane(world), Router(world)])
        self._protocols: list[Any] = []

    def _protocol_factory(self) -> Any:
        self._protocols.append(super()._protocol_factory())
        return self._protocols[-1]

    async def hang_up(self) -> None:
        """Close every connection, in the middle of whatever is said on it."""
        await stop_accepting(self._server)
        self.close()
        for protocol in self._protocols:
            transport = getattr(getattr(protocol, "connection", None), "_transport", None)
            if transport is not None:
                transport.abort()


class ModalStandIn:
    """Modal on this machine: a context manager; what runs in it ends with it.

    Attributes:
        world: What there is, and what is to go wrong.
        environment: The variables with which the SDK finds it.
    """

    def __init__(self) -> None:
        self.world = World()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="modal stand-in")
        self._server: _Server | None = None
        self._port = 0

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        self.run(self._listen())
        return self

    def __exit__(self, *exc: object) -> None:
        """End every sandbox, and serve no more."""
        for sandbox in self.world.sandboxes:
            self.run(self.world.end(sandbox, _TERMINATED))
        self.run(self._hang_up())
        self.run(self._settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MODAL_SERVER_URL": self.world.url,
            "MODAL_TOKEN_ID": TOKEN[0],
            "MODAL_TOKEN_SECRET": TOKEN[1],
        }

    @property
    def sandboxes(self) -> list[Sandbox]:
        """Every sandbox that was made, in that order."""
        return self.world.sandboxes

    @property
    def live(self) -> list[Sandbox]:
        return [one for one in self.world.sandboxes if not one.machine.ended.is_set()]

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the stand-in's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    def kill_sandbox(self, sandbox: Sandbox) -> None:
        """End a sandbox as a failing machine does."""
        self.run(sandbox.machine.kill())

    def time_out(self, sandbox: Sandbox) -> None:
        """End a sandbox as Modal does when its `timeout` has passed."""
        self.run(self.world.end(sandbox, TIMED_OUT))

    def expire_tokens(self) -> None:
        """Refuse every token that was given out for a worker."""
        self.world.refused.update(self.world.tokens)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Be out of reach: connections break, and new ones are refused."""
        self.run(self._hang_up())
        try:
            yield
        finally:
            self.run(self._listen())

    async def _listen(self) -> None:
        self._server = _Server(self.world)
        await self._server.start("127.0.0.1", self._port)
        listening: Any = self._server._server
        self._port = listening.sockets[0].getsockname()[1]
        self.world.url = f"http://127.0.0.1:{self._port}"

    async def _hang_up(self) -> None:
        if self._server is not None:
            await self._server.hang_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._server.wait_closed()
            self._server = None

    async def _settle(self) -> None:
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()
