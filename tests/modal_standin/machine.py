"""The sandboxes: real process trees, each in namespaces of its own (processes, mounts, network)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shlex
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FS_TOOL = "/__modal/.bin/modal-sandbox-fs-tools"
"""The program behind `sandbox.filesystem`; Modal puts it into every sandbox."""

_FS_PROGRAM = """\
import json, os, shutil, sys
path = json.loads(sys.argv[1])["WriteFile"]["path"]
try:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
except OSError as error:
    sys.exit(json.dumps({"error_kind": "Other", "message": error.strerror}))
"""

MAX_AHEAD = 16 << 20
"""Bytes of output that a process may be ahead of its reader."""

MAX_KEPT = 64 << 20
"""Bytes of output that are kept for a reader who comes back."""

_CHUNK = 1 << 18


@functools.cache
def trouble() -> str | None:
    """Return why no sandbox can be started on this machine; None when one can."""
    command = [*_unshare(blocked=True), "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"unshare (util-linux): {error}"
    return f"namespaces (root, say): {done.stderr.strip()}" if done.returncode else None


def _unshare(*, blocked: bool) -> list[str]:
    namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--ipc"]
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, *namespaces, *(["--net"] if blocked else []), "--"]


_LOOPBACK_UP = (
    "import fcntl, socket, struct; "
    "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 0x41))"
)
"""SIOCSIFFLAGS, up and running: a sandbox without a network has its own loopback all the same."""


def _setup(*, blocked: bool) -> str:
    """Return the shell script that makes a sandbox's own /tmp and then runs its arguments."""
    lines = ["set -e"]
    if blocked:
        lines.append(f"{shlex.quote(sys.executable)} -c {shlex.quote(_LOOPBACK_UP)}")
    # An interpreter that lies in /tmp stays there
    kept = [path for path in {sys.prefix, sys.base_prefix} if path.startswith("/tmp/")]
    kept += [str(Path(__file__).parents[2])] if __file__.startswith("/tmp/") else []
    for number, path in enumerate(kept):
        lines.append(f"mkdir -p /run/k{number}; mount --bind {shlex.quote(path)} /run/k{number}")
    lines.append("mount -t tmpfs -o mode=1777 tmpfs /tmp")
    for number, path in enumerate(kept):
        lines.append(f"mkdir -p {shlex.quote(path)}; mount --move /run/k{number} {path}")
    lines.append('echo ready; cd /; exec "$@" >/dev/null')
    return "\n".join(lines)


class Output:
    """What a process has written: a reader may come back and go on at any offset."""

    def __init__(self) -> None:
        self.end = 0
        self.over = False
        self._start = 0
        self._data = bytearray()
        self._read = 0
        self._changed = asyncio.Condition()

    async def fill(self, source: asyncio.StreamReader) -> None:
        while data := await source.read(_CHUNK):
            async with self._changed:
                self._data += data
                self.end += len(data)
                if len(self._data) > MAX_KEPT + MAX_AHEAD:
                    del self._data[:MAX_AHEAD]
                    self._start += MAX_AHEAD
                self._changed.notify_all()
                await self._changed.wait_for(lambda: self.end - self._read < MAX_AHEAD)
        async with self._changed:
            self.over = True
            self._changed.notify_all()

    async def since(self, offset: int) -> AsyncIterator[bytes]:
        while True:
            async with self._changed:
                self._read = max(self._read, offset)
                self._changed.notify_all()
                await self._changed.wait_for(lambda at=offset: self.end > at or self.over)
                at = offset - self._start
                data = bytes(self._data[at : at + _CHUNK])
            if not data:
                return
            yield data
            offset += len(data)


@dataclass(kw_only=True)
class Exec:
    """A command that runs in a sandbox."""

    process: asyncio.subprocess.Process
    outputs: tuple[Output, Output]
    tasks: list[asyncio.Task[None]]
    written: int = 0
    closed: bool = False
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def write(self, offset: int, data: bytes, *, eof: bool) -> None:
        """Write what of `data` has not been written yet."""
        assert self.process.stdin is not None
        async with self.writing:
            if offset > self.written:
                raise ValueError(f"a gap: {self.written} bytes are written, {offset} is next")
            fresh = data[self.written - offset :]
            with contextlib.suppress(OSError):
                self.process.stdin.write(fresh)
                await self.process.stdin.drain()
            self.written += len(fresh)
            if eof and not self.closed:
                self.closed = True
                self.process.stdin.close()


class Machine:
    """One sandbox's process tree.

    Args:
        blocked: Whether it has no network.
    """

    def __init__(self, *, blocked: bool) -> None:
        self.blocked = blocked
        self.execs: dict[str, Exec] = {}
        self.exit_code: int | None = None
        self.ended = asyncio.Event()
        self.workdir = "/"
        self._env: dict[str, str] = {}
        self._init = 0
        self._process: asyncio.subprocess.Process
        self._waiter: asyncio.Task[None]

    async def start(self, command: list[str], *, env: dict[str, str], workdir: str) -> None:
        """Start the entry point."""
        scripts = sysconfig.get_path("scripts")
        path = f"{scripts}:/usr/local/bin:/usr/bin:/bin"
        self._env = {"PATH": path, "HOME": "/root", "MODAL_TASK_ID": "ta-standin", **env}
        self.workdir = workdir or "/"
        self._process = await asyncio.create_subprocess_exec(
            *_unshare(blocked=self.blocked),
            *("sh", "-c", _setup(blocked=self.blocked), "sh", *command),
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline(), "the sandbox could not be set up"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        self._init = int(children.read_text().split()[0])
        self._waiter = asyncio.create_task(self._wait())

    async def exec(self, number: str, command: list[str], env: dict[str, str]) -> None:
        """Start a command in the sandbox."""
        if command[0] == FS_TOOL:
            command = ["python", "-c", _FS_PROGRAM, *command[1:]]
        others = ["--net"] if self.blocked else []
        others += [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        given = [f"{name}={value}" for name, value in {**self._env, **env}.items()]
        process = await asyncio.create_subprocess_exec(
            *("nsenter", "--target", str(self._init), "--mount", "--pid", "--ipc", *others, "--"),
            *("env", "-i", "-C", self.workdir, *given, *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        outputs = Output(), Output()
        sources = process.stdout, process.stderr
        tasks = [
            asyncio.create_task(output.fill(source))
            for output, source in zip(outputs, sources, strict=True)
        ]
        self.execs[number] = Exec(process=process, outputs=outputs, tasks=tasks)

    async def kill(self) -> None:
        """End everything in it; the namespace's first process takes the others along."""
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, 9)
        await self.ended.wait()

    def running(self) -> list[str]:
        """Return the commands of the processes in it."""
        found = []
        mine = Path(f"/proc/{self._init}/ns/pid")
        with contextlib.suppress(OSError):
            namespace = mine.readlink()
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if (process / "ns/pid").readlink() == namespace:
                        found.append((process / "cmdline").read_text().replace("\0", " ").strip())
        return found

    async def _wait(self) -> None:
        self.exit_code = await self._process.wait()
        for one in self.execs.values():
            await one.process.wait()
            await asyncio.gather(*one.tasks)
            assert one.process.stdin is not None
            one.process.stdin.close()
        self.ended.set()
