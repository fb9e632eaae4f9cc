"""Starts a sub-call server for a notebook kernel, and ends it with the kernel.

The server reads its settings, then news of the kernel, from its stdin. It ends when its stdin ends:
when the kernel is shut down, and when the Jupyter server ends in any way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any

from rlm_kernel.host.process_hooks import at_exit, close_pipes, unregister
from rlm_kernel.host.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_STARTS = 4
"""How often a server that ends by itself is started for one kernel."""

_END_SECONDS = 10.0
"""How long a server may take to end: it ends the kernels of its child runs as well."""


class SubCallServerProcess:
    """The sub-call server of one kernel and of those restarted in its place."""

    def __init__(self, settings: dict[str, Any], env: Mapping[str, str]) -> None:
        self._settings = settings
        self._env = dict(env)
        self._loop = asyncio.get_running_loop()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def kernel_started(self) -> None:
        """Have the server say hello to the kernel; start the server when it does not run."""
        if self._process is None:
            self._start()
        else:
            self._write(b"started\n")

    def kernel_died(self) -> None:
        """Have the server cancel its calls, which nobody waits for any more."""
        self._write(b"died\n")

    async def close(self) -> None:
        """End the server and its calls."""
        self._forget()
        await in_thread(self._end)

    def _start(self) -> None:
        self._starts += 1
        # In a new session: Ctrl-C in the Jupyter server's terminal must not reach it. Its stderr
        # (a wrong setting, say) goes to the Jupyter server's log.
        process = subprocess.Popen(
            [sys.executable, "-m", "rlm_kernel.subcall_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._env,
            start_new_session=True,
            bufsize=0,
        )
        self._process = process
        at_exit(self._end, in_child=lambda: close_pipes(process))
        self._loop.add_reader(_out(process), self._ended, process)
        self._write(json.dumps(self._settings).encode() + b"\n")
        self._write(b"started\n")

    def _write(self, line: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it has ended: `_ended` handles that
                self._process.stdin.write(line)

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        """Start another server when one ended by itself."""
        if os.read(_out(process).fileno(), 1 << 12):
            return
        self._forget()
        self._end()
        if self._starts < MAX_STARTS:
            self._start()

    def _forget(self) -> None:
        if self._process is not None:
            self._loop.remove_reader(_out(self._process))

    def _end(self) -> None:
        process, self._process = self._process, None
        unregister(self._end)
        if process is None:
            return
        with process:
            try:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(timeout=_END_SECONDS)
            except (subprocess.TimeoutExpired, OSError):
                process.kill()


def _out(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout
