"""A tree's sandbox at the other end of a byte stream, in any environment."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.context.value import PlacedContext
from rlm_kernel.errors import SandboxError
from rlm_kernel.host.connection import new_connection
from rlm_kernel.host.directory import HostDirectory, remove_stale
from rlm_kernel.host.threads import in_thread
from rlm_kernel.relay.bootstrap import bundle
from rlm_kernel.relay.machine import ROOT
from rlm_kernel.relay.multiplexer import SILENCE_SECONDS, Multiplexer
from rlm_kernel.relay.pool import end

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rlm_kernel.context.value import ContextValue
    from rlm_kernel.host.fork_server import KernelProcess
    from rlm_kernel.host.kernel_options import KernelOptions
    from rlm_kernel.host.sandbox import MessageChannels, OnMessage
    from rlm_kernel.relay.machine import Machine
    from rlm_kernel.relay.pool import MachinePool
    from rlm_kernel.relay.socket_proxy import SocketProxy

START_SECONDS = 60.0


def _prepare() -> None:
    """Prepare what the first kernel needs; runs on a thread while the machine starts."""
    bundle()
    importlib.import_module("rlm_kernel.relay.socket_proxy")


class RelayedSandbox:
    """One tree's sandbox (see `rlm_kernel.host.sandbox.Sandbox`).

    Args:
        open_machine: Starts a machine; called again when one is lost.
        warm: Keeps machines between trees; None to end them with their tree.
        silence: Seconds without a frame from a machine after which it counts as lost.
    """

    def __init__(
        self,
        open_machine: Callable[[], Awaitable[Machine]],
        warm: MachinePool | None = None,
        *,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._open_machine = open_machine
        self._warm = warm
        self._silence = silence
        self._machine: Machine | None = None
        self._multiplexer: Multiplexer | None = None
        self._directory = HostDirectory()
        self._numbers = itertools.count(1)
        self._contexts: dict[int, ContextValue] = {}
        self._sockets: dict[KernelProcess, SocketProxy] = {}
        self._opening = asyncio.Lock()
        self._closed = False

    async def start(self) -> None:
        """Start the machine and wait until its fork server is ready."""
        await asyncio.gather(
            self._live(), asyncio.to_thread(remove_stale, self._directory.path.parent)
        )

    async def place(self, value: ContextValue) -> PlacedContext:
        """Send a value to a file of the sandbox, and again to the next when this one is lost."""
        multiplexer = await self._live()
        number = next(self._numbers)
        placed = await self._place(multiplexer, value, number)
        self._contexts[number] = value
        return placed

    async def discard(self, placed: PlacedContext) -> None:
        """Remove a value's file, and do not send it again."""
        number = int(placed.path.rpartition("/c")[2])
        self._contexts.pop(number, None)
        if self._multiplexer is not None:
            self._multiplexer.discard(number)

    async def start_kernel(self, options: KernelOptions) -> tuple[KernelProcess, dict[str, Any]]:
        """Fork a kernel's process, in a new machine when the last one was lost."""
        directory = self._directory.path / f"k{next(self._numbers)}"
        directory.mkdir(mode=0o700)
        connection, file = new_connection(directory)
        kernel = await self.start_process(connection, sys_path=[], **options.spawn_fields())
        return kernel, {**connection, "connection_file": file}

    async def start_process(
        self, connection: dict[str, Any], sockets: SocketProxy | None = None, **spec: Any
    ) -> KernelProcess:
        """Fork a kernel's process and put it behind sockets of this machine.

        Args:
            connection: The connection info of those sockets.
            sockets: The sockets of the kernel that this one replaces, if any.
            spec: The other fields of the ``spawn`` request.
        """
        from rlm_kernel.relay.socket_proxy import SocketProxy

        multiplexer = await self._live()
        kernel = multiplexer.fork_server.new_kernel()
        inside = f"{ROOT}/k{kernel.number}"
        assert self._machine is not None
        sockets = sockets or SocketProxy(connection)
        sockets.connect_kernel(multiplexer, kernel.number)
        self._sockets[kernel] = sockets
        multiplexer.fork_server.send(
            op="spawn",
            kernel=kernel.number,
            dir=inside,
            cwd=self._machine.workdir or f"{inside}/work",
            connection={**connection, "ip": f"{inside}/s"},
            **spec,
        )
        return kernel

    def open_channels(
        self, process: KernelProcess, connection: dict[str, Any], on_message: OnMessage
    ) -> MessageChannels:
        """Open a session's channels; their `close` also closes the kernel's sockets here."""
        from rlm_kernel.relay.socket_proxy import RelayedChannels

        return RelayedChannels(self._sockets[process], connection, on_message)

    def sockets_of(self, process: KernelProcess) -> SocketProxy:
        """Return a kernel's sockets on this machine."""
        return self._sockets[process]

    async def close(self) -> None:
        """End the machine and everything in it."""
        if self._closed:
            return
        self._closed = True
        try:
            async with self._opening:
                await self._end()
        finally:
            for sockets in self._sockets.values():
                sockets.close()
            self._contexts.clear()
            await in_thread(self._directory.remove)

    @property
    def directory(self) -> Path:
        """The tree's directory on this machine, for sockets and connection files."""
        return self._directory.path

    async def _live(self) -> Multiplexer:
        """Return the multiplexer of a running machine; start one when there is none."""
        async with self._opening:
            if self._closed:
                raise SandboxError("The sandbox has been closed.")
            if self._multiplexer is None or self._multiplexer.fork_server.ended:
                await self._end()
                try:
                    await self._open()
                except BaseException:
                    await self._end()
                    raise
            assert self._multiplexer is not None
            return self._multiplexer

    async def _open(self) -> None:
        warm = await self._warm.take() if self._warm is not None else None
        if warm is not None:
            self._machine, self._multiplexer = warm
        else:
            asyncio.get_running_loop().run_in_executor(None, _prepare)
            self._machine = await self._open_machine()
            self._multiplexer = Multiplexer(self._machine.stream, ROOT, self._silence)
            await self._ready(self._machine, self._multiplexer)
        for number, value in self._contexts.items():
            await self._place(self._multiplexer, value, number)

    async def _place(
        self, multiplexer: Multiplexer, value: ContextValue, number: int
    ) -> PlacedContext:
        """Write a value to a file by the machine's file transfer, or through the stream."""
        assert self._machine is not None
        path = multiplexer.path(number)
        try:
            size = await self._machine.place(value, path)
        except BaseException:
            multiplexer.discard(number)  # a part may have been written
            raise
        if size is None:
            return await multiplexer.place(value, number)
        return PlacedContext(path=path, form=value.form, type_name=value.type_name, bytes=size)

    async def _ready(self, machine: Machine, multiplexer: Multiplexer) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(multiplexer.fork_server.ready), START_SECONDS)
        except TimeoutError:
            why = await machine.exit_reason()
            raise SandboxError(
                f"The sandbox was not ready within {START_SECONDS:.0f} s. {why}".strip()
            ) from None
        except SandboxError as error:
            raise SandboxError(f"{error} {await machine.exit_reason()}".strip()) from error

    async def _end(self) -> None:
        multiplexer, self._multiplexer = self._multiplexer, None
        machine, self._machine = self._machine, None
        if machine is None:
            return
        if multiplexer is None:  # the machine was never connected
            with contextlib.suppress(OSError):
                await machine.stream.close()
            await machine.end(ended=False)
        elif self._warm is not None and self._closed and not multiplexer.fork_server.ended:
            await self._warm.keep(machine, multiplexer)
        else:
            await end(machine, multiplexer)
