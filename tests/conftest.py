"""What every test gets: no keys, a stand-in server, and a count of what it leaves behind.

A test that leaves a process, a thread, a temporary directory or an open TCP
socket behind fails, and what it left is cleared away so that the next one does not.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import pytest

from rlm.demo.server import LMRequest, LMResponse, StandInServer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

GRACE = 5.0
"""Seconds that what a test has closed may take to be gone."""

LIVE_SECONDS = 900
"""What a test may take on a real account, where a sandbox takes seconds and its image a minute."""

SECRETS = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL")
PROVIDERS = re.compile(r"(OPENAI|ANTHROPIC|PORTKEY|OPENROUTER|AZURE|GEMINI|GOOGLE|MODAL|RLM)_")
KEPT = re.compile(r"RLM_TEST_")

# One thread serves every run of the process (`rlm.core.loop`) and ends with it.
PROCESS_THREADS = ("rlm-engine", "asyncio_", "pytest_timeout")


def pytest_configure(config: pytest.Config) -> None:
    """Give this session an environment of its own: no keys, and a short TMPDIR to count in."""
    # Started in the background by a shell, we would ignore what tests of Ctrl-C send
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not _live(config):
        for name in list(os.environ):
            if (SECRETS.search(name) or PROVIDERS.match(name)) and not KEPT.match(name):
                del os.environ[name]
    # Short, because the paths of sockets are limited to 107 bytes.
    folder = tempfile.mkdtemp(prefix="t-", dir="/tmp")
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    os.environ["JUPYTER_RUNTIME_DIR"] = f"{folder}/jupyter"
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.hookimpl(tryfirst=True)  # before the marks decide what is run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out live tests unless asked for them; what the suite has for Modal is live then too."""
    if _live(config):
        for item in items:
            if _runs_in(item) == "modal":
                item.add_marker(pytest.mark.live)
                item.add_marker(pytest.mark.timeout(LIVE_SECONDS))
        return
    left = [item for item in items if item.get_closest_marker("live")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have a test that skips itself fail where nothing may be skipped (CI)."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _requires_all():
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"RLM_TEST_REQUIRE=all allows no skip: {why}"
    return report


def _requires_all() -> bool:
    return os.environ.get("RLM_TEST_REQUIRE") == "all"


def _live(config: pytest.Config) -> bool:
    return bool(config.getoption("markexpr") == "live")


def _runs_in(item: pytest.Item) -> object:
    """Return the environment whose kernels a test is given; None when it chooses for itself."""
    callspec = getattr(item, "callspec", None)
    starts_kernels = item.path.parent.name == "integration"
    return callspec.params.get("environment") if callspec and starts_kernels else None


@pytest.fixture
def require() -> Callable[[object, str], None]:
    """Skip a test whose needs are not met; where `RLM_TEST_REQUIRE=all` (CI) it fails instead."""

    def check(met: object, need: str) -> None:
        if met:
            return
        if _requires_all():
            pytest.fail(f"needs {need}, and RLM_TEST_REQUIRE=all allows no skip")
        pytest.skip(f"needs {need}")

    return check


@pytest.fixture
def server() -> Iterator[Callable[..., StandInServer]]:
    """Start stand-in servers: `server(reply, latency=...)`; all are closed after the test."""
    with ExitStack() as running:

        def start(reply: Callable[[LMRequest], LMResponse | str], **options: Any) -> StandInServer:
            return running.enter_context(StandInServer(reply, **options))

        yield start


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What this process holds: each thing's identity and how to name it."""

    processes: dict[tuple[int, float], psutil.Process]
    threads: dict[int, threading.Thread]
    folders: set[Path]
    sockets: set[Any]

    @classmethod
    def now(cls) -> Held:
        me = psutil.Process()
        children = me.children(recursive=True)
        return cls(
            processes={
                (p.pid, p.create_time()): p
                for p in children
                # what a browser that is still open starts and ends as it likes
                if _lives(p) and "--type=" not in _command(p)
            },
            threads={
                id(thread): thread
                for thread in threading.enumerate()
                if not thread.name.startswith(PROCESS_THREADS)
                # pyzmq's own collector of sent buffers: one, for the life of the process
                and not type(thread).__module__.startswith("zmq.")
                # the loop of Modal's SDK: the same
                and not thread.name.endswith("(thread_inner)")
            },
            folders=set(Path(tempfile.gettempdir()).glob("rlm-*")),
            # A closing connection waits in the kernel for a while: that is no leak.
            sockets={c for c in me.net_connections("tcp") if c.status in {"LISTEN", "ESTABLISHED"}},
        )

    def since(self, before: Held) -> list[str]:
        """Name what was not held before."""
        new_processes = [p for key, p in self.processes.items() if key not in before.processes]
        new_threads = [t for key, t in self.threads.items() if key not in before.threads]
        return [
            *(f"process {p.pid}: {_command(p)}" for p in new_processes),
            *(f"thread {t.name}" for t in new_threads),
            *(f"directory {folder}" for folder in sorted(self.folders - before.folders)),
            *(f"socket {c.laddr} -> {c.raddr}" for c in self.sockets - before.sockets),
        ]

    def clear(self, before: Held) -> None:
        """End the processes and remove the directories that were not there before."""
        for key, process in self.processes.items():
            if key not in before.processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        for folder in self.folders - before.folders:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves something behind."""
    before = Held.now()
    yield
    deadline = time.monotonic() + GRACE
    after = Held.now()
    if after.since(before):
        gc.collect()  # what only garbage still holds is closed by it, or warns, which fails
    while (left := after.since(before)) and time.monotonic() < deadline:
        time.sleep(0.02)
        after = Held.now()
    if left:
        after.clear(before)
        pytest.fail(f"{request.node.name} left behind: " + "; ".join(left), pytrace=False)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return "?"
