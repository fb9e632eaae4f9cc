"""The processes of a benchmark: the stand-in LM and one worker per peer, all of them bounded."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil  # type: ignore[import-untyped]
from peers import HERE, PLACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from peers import Peer

PATIENCE = 120.0
"""Seconds that one command may take before its worker is killed."""

_PR_SET_CHILD_SUBREAPER = 36
_STOPPING = 5.0


class Failure(Exception):  # noqa: N818 - not an error of ours: a peer could not do its work
    """A worker reported an error, died or did not answer in time; the text says which."""


class Process:
    """A started script that is talked to in JSON lines.

    Args:
        command: What to run.
        env: Its whole environment.
        folder: Its working directory; its stderr goes to a file there.
    """

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str], folder: Path) -> None:
        self._errors = Path(tempfile.mkstemp(suffix=".err", dir=folder)[1])
        with self._errors.open("wb") as errors:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=env,
                cwd=folder,
                start_new_session=True,
            )
        self._selector = selectors.DefaultSelector()
        assert self._popen.stdout is not None
        self._selector.register(self._popen.stdout, selectors.EVENT_READ)
        self._buffer = b""

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it can be talked to."""
        return self._popen.poll() is None

    def ask(self, command: Mapping[str, Any], patience: float = PATIENCE) -> dict[str, Any]:
        """Send a command and wait for its reply.

        Raises:
            Failure: It reported an error, died or took longer than `patience` seconds; the
                process is gone in the latter two cases.
        """
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.write(json.dumps(command).encode() + b"\n")
            self._popen.stdin.flush()
        reply = self.read(patience)
        if "error" in reply:
            raise Failure(str(reply["error"]))
        return reply

    def read(self, patience: float = PATIENCE) -> dict[str, Any]:
        """Wait for one line.

        Raises:
            Failure: It died or took too long.
        """
        assert self._popen.stdout is not None
        deadline = time.monotonic() + patience
        while b"\n" not in self._buffer:
            if not self._selector.select(deadline - time.monotonic()):
                self.stop()
                raise Failure(f"no answer in {patience:g} s")
            data = os.read(self._popen.stdout.fileno(), 1 << 20)
            if not data:
                self.stop()
                tail = self._errors.read_text(errors="replace").strip().splitlines()[-1:]
                raise Failure(f"the process died with {self._popen.returncode}: {' '.join(tail)}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply = json.loads(line)
        assert isinstance(reply, dict)
        return reply

    def stop(self) -> int:
        """End the process and all that it started; return how many outlived it."""
        descendants = _descendants(self.pid)
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError):
            self._popen.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_STOPPING)
        if self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait()
        # What ends by itself once its host is gone gets a moment for it.
        _, left = psutil.wait_procs(descendants, timeout=1.0)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=_STOPPING)
        return len(left)


class Lab:
    """Everything that runs during a benchmark; a context manager that leaves nothing behind.

    Attributes:
        fast: Base URL of the LM without latency.
        slow: Base URL of the LM with 50 ms.
        left: Peer key to how many of its processes had to be killed after their host had ended.
    """

    def __init__(self) -> None:
        _adopt_orphans()
        self.left: dict[str, int] = {}
        self.fast = self.slow = ""
        # Short: Unix sockets that peers put under TMPDIR have paths of 107 bytes at most.
        self._folder = Path(tempfile.mkdtemp(prefix="rlm-bench-"))
        self._kept: dict[str, Process] = {}
        self._lm: Process | None = None

    def __enter__(self) -> Self:
        env = {**self._environment("lm"), "PYTHONPATH": str(HERE.parent)}
        self._lm = Process([sys.executable, HERE / "lm_process.py"], env, self._folder)
        urls = self._lm.read(30.0)
        self.fast, self.slow = urls["fast"], urls["slow"]
        return self

    def __exit__(self, *exc: object) -> None:
        for key, process in self._kept.items():
            self._count(key, process.stop())
        if self._lm is not None:
            self._lm.stop()
        for orphan in _descendants(os.getpid()):
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def worker(self, peer: Peer) -> Process:
        """Return the peer's long-lived worker, imported and warm."""
        process = self._kept.get(peer.key)
        if process is None or not process.alive:
            process = self._kept[peer.key] = self._start(peer)
            warm = {"task": {"kind": "one"}, "context": {}, "url": self.fast}
            process.ask({"do": "complete", **warm})
        return process

    @contextlib.contextmanager
    def fresh(self, peer: Peer) -> Iterator[Process]:
        """Give a worker that has done nothing yet, and end it afterwards."""
        process = self._start(peer)
        try:
            yield process
        finally:
            self._count(peer.key, process.stop())

    def record(self, query: str) -> None:
        """Let the LM keep the chats of a task's turns from now on."""
        assert self._lm is not None
        self._lm.ask({"do": "record", "task": query})

    def recorded(self) -> tuple[list[list[dict[str, Any]]], list[float]]:
        """Return the chats kept since `record` and when each came (s), and keep no more."""
        assert self._lm is not None
        kept = self._lm.ask({"do": "recorded"})
        return kept["chats"], kept["times"]

    def _start(self, peer: Peer) -> Process:
        script, *arguments = peer.script
        command: list[str | Path] = [peer.python, HERE / script, *arguments]
        return Process(command, self._environment(peer.key), self._folder)

    def _environment(self, name: str) -> dict[str, str]:
        """Return an environment without keys or proxies: traffic stays on loopback."""
        home = PLACE / "home" / name
        home.mkdir(parents=True, exist_ok=True)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "TMPDIR": str(self._folder),
            "LANG": "C.UTF-8",
            "NO_PROXY": "*",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "HF_HUB_OFFLINE": "1",
        }

    def _count(self, key: str, left: int) -> None:
        self.left[key] = self.left.get(key, 0) + left


class TreeMemory:
    """Samples the resident memory of a process and all that it started, for its peak in bytes."""

    def __init__(self, pid: int, every: float = 0.05) -> None:
        import threading

        self.peak = 0
        self._pid, self._every = pid, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(self._every):
            total = 0
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in [psutil.Process(self._pid), *_descendants(self._pid)]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        total += process.memory_info().rss
            self.peak = max(self.peak, total)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def _adopt_orphans() -> None:
    """Become the parent of what our workers leave behind (Linux), so that it can be found."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
