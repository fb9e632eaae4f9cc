"""The program in every sandbox: forks kernels on request, and ends them all.

`python -m rlm_kernel.forkserver ROOT` imports ipykernel once and then forks; a forked kernel is
ready in a tenth of the time of a cold one. It talks to the host in frames over its stdin and
stdout. It runs no user code and holds no ZMQ context. Where the host cannot reach the kernels'
sockets (``--relay``), its first child, the pump, carries their messages on the same stream (see
`rlm_kernel.guest.pump`), and the sandbox ends with the pump.

Requests: ``spawn`` (see `_Server.spawn`), ``signal``, ``kill``, ``ping``, ``clean`` (in a container
only). Reports: ``ready``, ``spawned``, ``over_memory``, ``died``, ``pong``, ``cleaned``. When the
stream ends (the host closed it, crashed, or was killed) the fork server ends every descendant,
removes ROOT, and exits.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from rlm_kernel.guest import child_process, cleanup, processes
from rlm_kernel.protocol import frames

MEMORY_CHECK_SECONDS = 0.5
HOST_CHECK_SECONDS = 2.0

REAP_ROUNDS = 1000
"""How often we try to collect killed processes, a millisecond apart."""


def main() -> None:
    """Serve until the stream ends."""
    root = sys.argv[1]
    stream_in, stream_out = _take_stream()
    processes.adopt_orphans()
    pump = None
    if "--relay" in sys.argv:
        # Kernels have the same user and could open the stream's pipes through /proc
        processes.hide()
        Path(root).mkdir(mode=0o700)
        pump, stream_in = _fork_pump(stream_in, stream_out)
        stream_out = stream_in
    _preload()
    server = _Server(root, stream_in, stream_out, pump)
    try:
        server.serve()
    finally:
        server.end()


def _take_stream() -> tuple[int, int]:
    """Move the stream off fds 0 and 1, so that a stray print cannot corrupt a frame."""
    stream_in, stream_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        if fd != 2 or not os.environ.get("RLM_KERNEL_DEBUG"):  # noqa: PLR2004 - stderr
            os.dup2(null, fd)
    os.close(null)
    return stream_in, stream_out


def _fork_pump(stream_in: int, stream_out: int) -> tuple[int, int]:
    """Fork the pump, which takes the stream; return its pid and the socket of its control frames.

    This comes before the imports, which the pump does not need.
    """
    ours, its = socket.socketpair()
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            processes.die_with_parent(server)
            from rlm_kernel.guest.pump import SILENCE_SECONDS, Pump

            Pump(stream_in, stream_out, its, _silence() or SILENCE_SECONDS).run()
        finally:
            os._exit(0)
    its.close()
    os.close(stream_in)
    os.close(stream_out)
    return pid, ours.detach()


def _silence() -> float | None:
    """Return the ``--silence``: seconds after which a silent host counts as gone."""
    given = [word for word in sys.argv if word.startswith("--silence=")]
    return float(given[-1].partition("=")[2]) if given else None


def _preload() -> None:
    """Import what every kernel needs, without the debugger, which saves 90 ms and 8 MB."""
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    import ipykernel.debugger  # noqa: F401 - while debugpy is blocked

    del sys.modules["debugpy"]
    import rlm_kernel.guest.app  # noqa: F401 - after the stream is safe: imports may print

    # Each kernel would import these for itself
    for name in (
        *("tornado.platform.asyncio", "faulthandler", "unicodedata", "bdb"),
        *("IPython.utils.wildcard", "IPython.core.oinspect", "IPython.core.completerlib"),
        "IPython.core.logger",
    ):
        importlib.import_module(name)
    # Kernels share these objects' pages until a collector touches them; each enables its own
    gc.collect()
    gc.freeze()
    gc.disable()


class _Server:
    def __init__(self, root: str, stream_in: int, stream_out: int, pump: int | None) -> None:
        self._root = root
        self._in = stream_in
        self._out = stream_out
        self._host = os.getppid()
        self._relayed = pump is not None
        self._own = {pump} if pump is not None else set()
        self._directories: dict[int, str] = {}
        self._oom_kills = processes.oom_kills()
        self._pids: dict[int, int] = {}
        self._memory: dict[int, int] = {}
        self._wake_in, self._wake_out = os.pipe()
        for fd in (self._wake_in, self._wake_out):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_out, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Take requests until the stream ends."""
        decoder = frames.Decoder()
        self._report(op="ready", pid=os.getpid())
        while True:
            timeout = MEMORY_CHECK_SECONDS if self._memory else HOST_CHECK_SECONDS
            readable, _, _ = select.select([self._in, self._wake_in], [], [], timeout)
            if os.getppid() != self._host:
                return  # the host is gone; a child that it forked may still hold the stream open
            if self._wake_in in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_in, 4096)
                self._reap()
            if self._memory:
                self._check_memory()
            if self._in in readable:
                data = os.read(self._in, 1 << 16)
                if not data:
                    return
                for frame in decoder.feed(data):
                    self._handle(frames.decode_control(frame))

    def end(self) -> None:
        """End every descendant, then remove the sandbox's directory."""
        for _ in range(REAP_ROUNDS):
            below = processes.children(os.getpid())
            if not below:
                break
            for pid in below:
                processes.kill_tree(pid)
            time.sleep(0.001)
            self._ended_children()
        shutil.rmtree(self._root, ignore_errors=True)

    def _handle(self, request: dict[str, Any]) -> None:
        op = request.get("op")
        if op == "spawn":
            self.spawn(request)
        elif op == "ping":
            self._report(op="pong")
        elif op == "clean":
            self._clean()
        elif op == "signal" and request["kernel"] in self._pids:
            processes.send(self._pids[request["kernel"]], request["signal"])
        elif op == "kill" and request["kernel"] in self._pids:
            processes.kill_tree(self._pids[request["kernel"]])

    def spawn(self, spec: dict[str, Any]) -> None:
        """Fork a kernel.

        Args:
            spec: `kernel` (its number), `dir` (its directory), `cwd`, `env` (added to ours),
                `memory_limit` (bytes or None), and either `exec` (a notebook kernel: a command) or,
                for a model's, `connection`, `repl` and `sys_path` (appended). In a relayed sandbox
                the directory is made here, and a notebook kernel gets its `connection` here too.
        """
        server = os.getpid()
        try:
            if self._relayed:
                Path(spec["dir"], "work").mkdir(mode=0o700, parents=True)
                Path(spec["cwd"]).mkdir(parents=True, exist_ok=True)
                self._directories[spec["kernel"]] = spec["dir"]
            pid = os.fork()
        except OSError as error:  # a limit on processes or files, or a folder that cannot be made
            why = f"{error.strerror or error} {error.filename or ''}".strip()
            self._report(op="died", kernel=spec["kernel"], code=1, why=why)
            return
        if pid == 0:
            stream = {self._in, self._out, self._wake_in, self._wake_out}
            child_process.become_kernel(spec, server, stream, relayed=self._relayed)
        self._pids[spec["kernel"]] = pid
        if spec.get("memory_limit"):
            self._memory[spec["kernel"]] = spec["memory_limit"]
        self._report(op="spawned", kernel=spec["kernel"], pid=pid)

    def _reap(self) -> None:
        """Collect ended processes, end what dead kernels left behind, then report the deaths.

        Live kernels adopt their own orphans, so a child of ours that is not a kernel is a stray.
        """
        dead: list[tuple[int, int]] = []
        for _ in range(REAP_ROUNDS):
            numbers = {pid: number for number, pid in self._pids.items()}
            for pid, status in self._ended_children():
                self._own.discard(pid)
                if pid in numbers:
                    del self._pids[numbers[pid]]
                    self._memory.pop(numbers[pid], None)
                    dead.append((numbers[pid], os.waitstatus_to_exitcode(status)))
            ours = {*self._pids.values(), *self._own}
            strays = [pid for pid in processes.children(os.getpid()) if pid not in ours]
            if not strays:
                break
            for pid in strays:
                processes.kill_tree(pid)
            time.sleep(0.001)  # they end; the next round collects them
        for number, code in dead:
            if code == -signal.SIGKILL:
                self._report_oom(number)
            self._report(op="died", kernel=number, code=code)
            if number in self._directories:
                self._sweep(self._directories.pop(number))

    def _report_oom(self, number: int) -> None:
        """Report a kernel's end by the sandbox's memory limit."""
        kills = processes.oom_kills()
        if kills > self._oom_kills:
            self._oom_kills = kills
            self._report(op="over_memory", kernel=number, limit=processes.memory_of_group())

    def _clean(self) -> None:
        """End every process of this container and empty its scratch space."""
        for _ in range(REAP_ROUNDS):
            others = [pid for pid in processes.others() if pid not in self._own]
            if not others:
                break
            for pid in others:
                processes.kill_tree(pid)
            time.sleep(0.001)
            self._reap()
        else:
            return  # a process survives: without an answer the host ends this sandbox
        cleanup.remove_all()
        if cleanup.is_empty():
            self._directories.clear()
            Path(self._root).mkdir(mode=0o700)
            self._report(op="cleaned")

    def _sweep(self, directory: str) -> None:
        """Remove a kernel's directory in another process: the model may have filled it."""
        with contextlib.suppress(OSError):
            pid = os.fork()
            if pid == 0:
                try:
                    shutil.rmtree(directory, ignore_errors=True)
                finally:
                    os._exit(0)
            self._own.add(pid)

    def _ended_children(self) -> list[tuple[int, int]]:
        ended = []
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                ended.append((pid, status))
        return ended

    def _check_memory(self) -> None:
        for number, limit in list(self._memory.items()):
            pid = self._pids.get(number)
            if pid is not None and processes.tree_bytes(pid, limit) > limit:
                self._report(op="over_memory", kernel=number, limit=limit)
                processes.kill_tree(pid)
                del self._memory[number]

    def _report(self, **message: Any) -> None:
        data = frames.encode_control(message)
        while data:
            try:
                data = data[os.write(self._out, data) :]
            except OSError:
                return  # the host is gone; the next read finds that out
