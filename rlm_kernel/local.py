"""The sandbox on this machine: one fork server per event loop, one directory per tree.

Kernels of one user could reach each other anyway, so all trees of a host process share a fork
server. It starts at the first use and ends when the last tree and the last lease are gone. This is
not a boundary against hostile code: use `docker` for that.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rlm_kernel
from rlm_kernel import payload
from rlm_kernel.environment import scrubbed_environment
from rlm_kernel.errors import FrameError, SandboxError
from rlm_kernel.server import ServerStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm_kernel.options import KernelOptions
    from rlm_kernel.payload import ContextValue, PlacedContext
    from rlm_kernel.sandbox import MessageChannels
    from rlm_kernel.server import KernelProcess
    from rlm_kernel.session import CallHandler, Session

# Where this package lies goes last: in PYTHONPATH it would come before the standard library.
_BOOTSTRAP = """\
import sys
sys.path.append(sys.argv.pop(1))
from rlm_kernel.forkserver import main
main()
"""

_START_SECONDS = 60.0
_END_SECONDS = 5.0
_LONGEST_ROOT = 80
"""Characters of a root directory: a unix socket's path holds 107 bytes at most."""

_servers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LocalServer] = (
    weakref.WeakKeyDictionary()
)


def local_sandbox() -> LocalSandbox:
    """Return a new tree's sandbox on this machine; call it on the event loop that will use it."""
    return LocalSandbox(_server())


def _server() -> LocalServer:
    loop = asyncio.get_running_loop()
    server = _servers.get(loop)
    if server is None or server.over:
        server = _servers[loop] = LocalServer(loop)
    return server


def lease() -> Lease:
    """Keep this event loop's fork server alive between trees until the lease is closed."""
    return Lease(_server())


class Lease:
    """A reference on a fork server, dropped by `close`."""

    def __init__(self, server: LocalServer) -> None:
        self._server: LocalServer | None = server
        server.acquire()

    @property
    def over(self) -> bool:
        """Whether there is nothing to hold any more: it was closed, or the fork server was lost."""
        return self._server is None or self._server.over

    async def close(self) -> None:
        """Drop the reference; when it was the last, wait until the fork server has ended."""
        server, self._server = self._server, None
        if server is not None:
            await server.release()


class LocalServer:
    """The fork server's process and our end of its pipes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        if not hasattr(os, "fork"):
            raise SandboxError(
                f"environment='local' needs Linux or macOS; this is {sys.platform}. "
                "Run it under WSL, or use environment='docker'."
            )
        self.loop = loop
        self.root = make_root()
        self.over = False
        self._users = 0
        self._trees = itertools.count(1)
        package_parent = str(Path(rlm_kernel.__file__).parents[1])
        # Its own session: Ctrl-C in the host's terminal is the host's to handle.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP, package_parent, self.root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("RLM_KERNEL_DEBUG") else subprocess.DEVNULL,
            env=scrubbed_environment(),
            cwd=self.root,
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        self.stream = ServerStream(loop, self._write)
        loop.add_reader(self._out.fileno(), self._read)
        atexit.register(self._end_process)

    def acquire(self) -> None:
        """Count one more user."""
        self._users += 1

    async def release(self) -> None:
        """Count one user less; when it was the last, end the process and wait until it is gone."""
        self._users -= 1
        if self._users <= 0 and not self.over:
            self._detach()
            await in_thread(self._end_process)

    def tree_directory(self) -> Path:
        """Make a new tree's directory."""
        path = self.root / f"t{next(self._trees)}"
        path.mkdir(mode=0o700)
        return path

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)  # a request is far smaller than a pipe's buffer
        except OSError:
            self._lose()

    def _read(self) -> None:
        try:
            data = self._out.read(1 << 16)
            if data:
                self.stream.feed(data)
                return
        except FrameError:
            pass
        if data is not None:
            self._lose()

    def _lose(self) -> None:
        """The stream has ended by itself: so has the sandbox."""
        if not self.over:
            self._detach()
            _begin_thread(self._end_process)

    def _detach(self) -> None:
        """Use the stream no more."""
        if not self.over:
            self.over = True
            self.loop.remove_reader(self._out.fileno())
            self.stream.end()
            if _servers.get(self.loop) is self:
                del _servers[self.loop]  # it holds its loop: the weak key alone would never go

    def _end_process(self) -> None:
        """Close the stream: the fork server ends its kernels, removes the root, and exits."""
        atexit.unregister(self._end_process)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()
        _remove(self.root)


def _remove(path: Path) -> None:
    """Remove a file or a directory; a cell may have done so already."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


async def in_thread(function: Callable[..., object], *arguments: Any) -> None:
    """Call a function on a thread; while the interpreter ends, when there are none, right here."""
    try:
        await asyncio.to_thread(function, *arguments)
    except RuntimeError:
        function(*arguments)


def _begin_thread(function: Callable[..., object], *arguments: Any) -> None:
    """Begin to call a function on a thread, without waiting for it."""
    try:
        threading.Thread(target=function, args=arguments, name="rlm clean-up").start()
    except RuntimeError:  # the interpreter ends
        function(*arguments)


def make_root() -> Path:
    """Make the directory of all trees: short enough for sockets, ours alone."""
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes it safely
        if len(parent) <= _LONGEST_ROOT:
            return Path(tempfile.mkdtemp(prefix="rlm-", dir=parent))
    raise SandboxError(
        f"The temporary directory's path is too long for sockets: {tempfile.gettempdir()!r}. "
        "Set TMPDIR to a shorter one."
    )


class LocalSandbox:
    """One tree's share of this machine (see `rlm_kernel.sandbox.Sandbox`)."""

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
        return await asyncio.to_thread(payload.write_context, value, path)

    async def discard(self, placed: PlacedContext) -> None:
        """Remove a value's file."""
        await in_thread(_remove, Path(placed.path))

    async def spawn(self, options: KernelOptions, on_call: CallHandler) -> Session:
        """Fork a kernel and connect to it."""
        from rlm_kernel.session import open_session  # noqa: PLC0415 - jupyter_client is slow to import

        return await open_session(self, options, on_call)

    async def start_kernel(self, options: KernelOptions) -> tuple[KernelProcess, dict[str, Any]]:
        """Fork a kernel's process."""
        if self._closed:
            raise SandboxError("The sandbox is closed; no kernel can be started in it.")
        kernel = self._server.stream.new_kernel()
        directory = self._server.root / f"k{kernel.number}"
        work = directory / "work"
        work.mkdir(mode=0o700, parents=True)
        connection = new_connection(directory)
        file = directory / "connection.json"
        file.touch(mode=0o600)  # it holds the key
        file.write_text(json.dumps(connection))
        self._server.stream.send(
            op="spawn",
            kernel=kernel.number,
            dir=str(directory),
            cwd=str(work),
            connection=connection,
            repl={"tools": list(options.tools), "output_limit": options.output_limit},
            env=options.env,
            sys_path=list(options.sys_path),
            memory_limit=options.memory_limit,
        )
        self._kernels.append(kernel)
        kernel.died.add_done_callback(lambda _: self._forget(kernel, directory))
        return kernel, {**connection, "connection_file": str(file)}

    def open_channels(
        self,
        process: KernelProcess,
        connection: dict[str, Any],
        on_message: Callable[[str, dict[str, Any]], None],
    ) -> MessageChannels:
        """Connect to a kernel's sockets."""
        from rlm_kernel.channels import Channels  # noqa: PLC0415 - jupyter_client is slow to import

        del process
        return Channels(connection, on_message)

    async def start_command(
        self, command: list[str], *, cwd: str, env: dict[str, str]
    ) -> KernelProcess:
        """Start a person's kernel: a command of its own, ended like all others.

        Args:
            command: The kernelspec's command, filled in.
            cwd: Where it runs.
            env: Environment variables added to the scrubbed ones.
        """
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
        # Small (sockets, a profile, what the cells wrote): but it is the model's to fill
        _begin_thread(_remove, directory)

    @property
    def directory(self) -> Path:
        """The tree's own directory; removed when the sandbox is closed."""
        if self._directory is None:
            raise SandboxError("The sandbox has not been started.")
        return self._directory


def new_connection(directory: Path) -> dict[str, Any]:
    """Return connection info for a new kernel whose sockets lie in `directory`."""
    connection: dict[str, Any] = {
        "transport": "ipc",
        "ip": str(directory / "s"),
        "key": secrets.token_hex(32),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "rlm",
    }
    for number, channel in enumerate(("shell", "iopub", "stdin", "control", "hb"), start=1):
        connection[f"{channel}_port"] = number
    return connection
