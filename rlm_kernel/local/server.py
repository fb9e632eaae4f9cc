"""The fork server on this machine: one for each event loop, shared by all its trees.

Kernels of one user could reach each other anyway. The fork server starts at the first use and ends
with the last tree and the last lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path

from rlm_kernel.errors import FrameError, SandboxError
from rlm_kernel.host.directory import make_root
from rlm_kernel.host.fork_server import ForkServerClient
from rlm_kernel.host.process_hooks import at_exit, close_pipes, unregister
from rlm_kernel.host.scrubbed_env import scrubbed_environment
from rlm_kernel.host.threads import begin_thread, in_thread

# This package's folder goes last: in PYTHONPATH it would come before the standard library.
_BOOTSTRAP = """\
import sys
sys.path.append(sys.argv.pop(1))
from rlm_kernel.forkserver import main
main()
"""

_END_SECONDS = 5.0
_servers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LocalServer] = (
    weakref.WeakKeyDictionary()
)


def local_server() -> LocalServer:
    """Return the running event loop's fork server; start one when there is none."""
    loop = asyncio.get_running_loop()
    server = _servers.get(loop)
    if server is None or server.over:
        server = _servers[loop] = LocalServer(loop)
    return server


class Lease:
    """Keeps the running event loop's fork server alive between trees, until `close`."""

    def __init__(self) -> None:
        self._server: LocalServer | None = local_server()
        self._server.acquire()

    @property
    def over(self) -> bool:
        """Whether the lease was closed, or the fork server was lost."""
        return self._server is None or self._server.over

    async def close(self) -> None:
        """Drop the reference; wait for the fork server's end when it was the last one."""
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
        package_parent = str(Path(__file__).parents[2])
        # In a new session: Ctrl-C in the host's terminal must not reach it
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
        self.stream = ForkServerClient(loop, self._write)
        loop.add_reader(self._out.fileno(), self._read)
        at_exit(self._end_process, in_child=self._disown)

    def acquire(self) -> None:
        """Add a user."""
        self._users += 1

    async def release(self) -> None:
        """Remove a user; after the last one, end the process and wait until it is gone."""
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
        except (OSError, ValueError):  # ValueError: this process exits, on another thread
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
        """Handle a stream that has ended by itself, and the sandbox with it."""
        if not self.over:
            self._detach()
            begin_thread(self._end_process)

    def _detach(self) -> None:
        """Stop using the stream."""
        if not self.over:
            self.over = True
            self.loop.remove_reader(self._out.fileno())
            self._out.close()
            self.stream.end()
            if _servers.get(self.loop) is self:
                del _servers[self.loop]  # we hold the loop, so its weak key would stay

    def _end_process(self) -> None:
        """Close its stdin: the fork server ends its kernels, removes the root, and exits."""
        unregister(self._end_process)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def _disown(self) -> None:
        """Mark the server as over in a forked child, whose event loop is the parent's."""
        self.over = self.stream.ended = True
        close_pipes(self._process)
