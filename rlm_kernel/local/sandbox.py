"""The sandbox on this machine: a tree's directory, and its kernels in the shared fork server.

This is not a boundary against hostile code: use `docker` for that.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.context.write import write_context
from rlm_kernel.errors import SandboxError
from rlm_kernel.host.connection import new_connection
from rlm_kernel.host.threads import begin_thread, in_thread
from rlm_kernel.local.server import LocalServer, local_server

if TYPE_CHECKING:
    from rlm_kernel.context.value import ContextValue, PlacedContext
    from rlm_kernel.host.fork_server import KernelProcess
    from rlm_kernel.host.kernel_options import KernelOptions
    from rlm_kernel.host.sandbox import MessageChannels, OnMessage

_START_SECONDS = 60.0
_END_SECONDS = 5.0


def local_sandbox() -> LocalSandbox:
    """Return a new tree's sandbox on this machine; call it on the event loop that will use it."""
    return LocalSandbox(local_server())


class LocalSandbox:
    """One tree's share of this machine (see `rlm_kernel.host.sandbox.Sandbox`)."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        self._server.acquire()
        self._directory: Path | None = None
        self._kernels: list[KernelProcess] = []
        self._files = itertools.count(1)
        self._closed = False

    async def start(self) -> None:
        """Wait until the fork server is ready."""
        try:
            await asyncio.wait_for(asyncio.shield(self._server.stream.ready), _START_SECONDS)
        except TimeoutError:
            raise SandboxError(
                f"The fork server was not ready within {_START_SECONDS:.0f} s."
            ) from None
        if self._directory is None:
            self._directory = self._server.tree_directory()

    async def place(self, value: ContextValue) -> PlacedContext:
        """Write a value to a file of the tree's directory."""
        path = self.directory / f"c{next(self._files)}"
        return await asyncio.to_thread(write_context, value, path)

    async def discard(self, placed: PlacedContext) -> None:
        """Remove a value's file."""
        await in_thread(_remove, Path(placed.path))

    async def start_kernel(self, options: KernelOptions) -> tuple[KernelProcess, dict[str, Any]]:
        """Fork a kernel's process."""
        if self._closed:
            raise SandboxError("The sandbox is closed; no kernel can be started in it.")
        kernel = self._server.stream.new_kernel()
        directory = self._server.root / f"k{kernel.number}"
        work = directory / "work"
        work.mkdir(mode=0o700, parents=True)
        connection, file = new_connection(directory)
        self._server.stream.send(
            op="spawn",
            kernel=kernel.number,
            dir=str(directory),
            cwd=str(work),
            connection=connection,
            sys_path=list(options.sys_path),
            **options.spawn_fields(),
        )
        self._kernels.append(kernel)
        kernel.died.add_done_callback(lambda _: self._forget(kernel, directory))
        return kernel, {**connection, "connection_file": file}

    def open_channels(
        self, process: KernelProcess, connection: dict[str, Any], on_message: OnMessage
    ) -> MessageChannels:
        """Connect to a kernel's sockets."""
        from rlm_kernel.host.channels import Channels

        del process
        return Channels(connection, on_message)

    async def start_command(
        self, command: list[str], *, cwd: str, env: dict[str, str]
    ) -> KernelProcess:
        """Start a notebook kernel with its kernelspec's command."""
        kernel = self._server.stream.new_kernel()
        self._server.stream.send(
            op="spawn", kernel=kernel.number, dir=cwd, cwd=cwd, env=env, exec=command
        )
        self._kernels.append(kernel)
        kernel.died.add_done_callback(lambda _: self._kernels.remove(kernel))
        return kernel

    async def close(self) -> None:
        """End the tree's kernels, remove its directory, and drop the fork server."""
        if self._closed:
            return
        self._closed = True
        try:
            kernels = list(self._kernels)
            for kernel in kernels:
                kernel.kill()
            if kernels:
                await asyncio.wait([kernel.died for kernel in kernels], timeout=_END_SECONDS)
            if self._directory is not None:
                await in_thread(_remove, self._directory)
        finally:
            await self._server.release()

    def _forget(self, kernel: KernelProcess, directory: Path) -> None:
        self._kernels.remove(kernel)
        # On a thread: it is usually small, but the model may have filled it
        begin_thread(_remove, directory)

    @property
    def directory(self) -> Path:
        """The tree's directory; `close` removes it."""
        if self._directory is None:
            raise SandboxError("The sandbox has not been started.")
        return self._directory


def _remove(path: Path) -> None:
    """Remove a file or a directory; a cell may have done so already."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
