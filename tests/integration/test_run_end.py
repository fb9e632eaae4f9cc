"""Closing, forgetting and forking an RLM: nothing hangs, nothing is silent, nothing stays."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import pytest

from rlm import RLM, CancellationError, RLMLogger
from rlm.core.loop import engine_loop
from rlm.demo.server import LMResponse, script

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.demo.server import StandInServer
    from rlm.events import Event

DONE = "```repl\nFINAL('done')\n```"

PROGRAM = """
import gc, os, sys, threading, warnings
import faulthandler; faulthandler.dump_traceback_later(100, exit=True)
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
from rlm import RLM, RLMLogger
from rlm.demo.server import script, StandInServer
def make(server, **options):
    return RLM(backend_kwargs={"model_name": "m", "base_url": server.base_url}, **options)
server = StandInServer(script(lambda r: "```repl\\nFINAL('done')\\n```"))
server.__enter__()
"""


def run_program(code: str, *arguments: str) -> str:
    """Run a program of its own, since it forks, collects or exits; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def lines(logger: RLMLogger) -> int:
    assert logger.log_file_path is not None
    return len(Path(logger.log_file_path).read_text().splitlines())


def test_a_completion_after_close_reaches_every_reader(scripted: Any, tmp_path: Path) -> None:
    logger, turns = RLMLogger(tmp_path), []
    rlm = scripted(
        lambda _: DONE, logger=logger, on_iteration_start=lambda depth, n: turns.append((depth, n))
    )
    for count in (1, 2, 3):
        rlm.completion("c")
        rlm.close()
        assert lines(logger) == 2 * count
        assert turns == [(0, 1)] * count


def test_close_ends_a_run_that_goes_on_and_says_so(scripted: Any) -> None:
    asked = threading.Event()

    def sub(_: str) -> LMResponse:
        asked.set()
        return LMResponse(text="late", delay=60)

    rlm = scripted(["```repl\nllm_query('x')\n```"], sub)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            rlm.completion("c")
        except CancellationError as error:
            errors.append(error)

    runner = threading.Thread(target=run)
    runner.start()
    assert asked.wait(60)
    rlm.close()
    runner.join(60)
    (error,) = errors
    assert "The RLM was closed" in str(error)
    assert error.trajectory.root.finished.status == "cancelled"  # type: ignore[attr-defined]
    assert scripted.server.connections == 0


def test_a_thread_left_by_a_cell_makes_no_calls_after_the_run(scripted: Any) -> None:
    left_behind = (
        "import threading\n"
        "def go_on():\n"
        "    while True: llm_query('again')\n"
        "threading.Thread(target=go_on, daemon=True).start()\n"
        "llm_query('once')  # answered: the one before is under way\n"
        "FINAL('done')"
    )
    rlm = scripted(
        [f"```repl\n{left_behind}\n```"],
        lambda prompt: LMResponse(text="late", delay=60 if prompt == "again" else 0),
    )
    trajectory = rlm.completion("c").trajectory
    rlm.close()
    events = trajectory.events
    assert [event.type for event in events].count("sub_call_started") == 2
    assert events[-1].type == "run_finished"
    assert len(scripted.server.requests) == 3


def test_ctrl_c_while_an_rlm_closes_leaves_nothing_open(
    server: Callable[..., StandInServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm.core.loop._CANCEL_GRACE", 0.1)
    served = server(script(lambda _: DONE))
    kwargs = {"model_name": "m", "base_url": served.base_url}
    rlm = RLM(backend_kwargs=kwargs, persistent=True)
    rlm.completion("c")
    (fork_server,) = psutil.Process().children()
    fork_server.suspend()  # it will not say that the kernel has died

    def interrupt() -> None:
        while served.connections:  # they are closed first
            time.sleep(0.01)
        engine_loop().submit(asyncio.sleep(0)).result()  # now its kernel is waited for
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        rlm.close()
    interrupter.join()
    fork_server.resume()
    assert psutil.wait_procs([fork_server], timeout=30)[1] == []


def test_an_rlm_whose_callback_is_its_owners_method_is_freed(
    server: Callable[..., StandInServer],
) -> None:
    served = server(script(lambda _: DONE))

    class App:
        def __init__(self) -> None:
            self.heard = 0
            self.rlm = RLM(
                backend_kwargs={"model_name": "m", "base_url": served.base_url},
                on_iteration_start=self.hook,
                logger=self,
            )

        def hook(self, *_: object) -> None:
            self.heard += 1

        def on_event(self, _: object) -> None:
            self.heard += 1

    app = App()
    app.rlm.completion("c")
    assert app.heard > 1
    gone = weakref.ref(app.rlm)
    del app
    gc.collect()
    assert gone() is None


def test_an_unreferenced_rlm_delivers_its_last_events_and_ends_its_threads(
    server: Callable[..., StandInServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        def __init__(self) -> None:
            self.received: list[Event] = []
            self.open = threading.Event()

        def on_event(self, event: Event) -> None:
            self.open.wait()
            self.received.append(event)

    monkeypatch.setattr("rlm.api.readers._FLUSH_SECONDS", 0.01)
    served = server(script(lambda _: DONE))
    slow = Slow()
    rlm = RLM(backend_kwargs={"model_name": "m", "base_url": served.base_url}, logger=slow)
    result = rlm.completion("c")
    (thread,) = (each for each in threading.enumerate() if each.name == "rlm-reader-Slow")
    del rlm
    gc.collect()
    slow.open.set()
    thread.join(60)
    assert not thread.is_alive()
    assert result.trajectory is not None
    assert tuple(slow.received) == result.trajectory.events


def test_collecting_an_rlm_while_another_is_made_never_waits() -> None:
    """Garbage is collected wherever something is allocated, also under a lock."""
    code = """
class Reader:
    ended = 0
    def on_event(self, event): Reader.ended += event.type == "run_finished"
for threshold in range(1, 150):
    gc.set_threshold(threshold, 2, 2)
    rlm = make(server, logger=Reader(), max_depth=0)
    rlm.itself = rlm
    rlm.completion("c")
del rlm
gc.collect()
for thread in threading.enumerate():
    if thread.name.startswith("rlm-reader"): thread.join()
print(Reader.ended)
server.__exit__(None, None, None)
"""
    assert run_program(code) == "149\n"


@pytest.mark.parametrize("forked", ["between runs", "amid a run"])
def test_a_forked_child_runs_and_logs_like_its_parent(forked: str, tmp_path: Path) -> None:
    code = """
logger = RLMLogger(sys.argv[2])
rlm = make(server, logger=logger)
rlm.completion("c")
busy, stop = threading.Event(), threading.Event()
def go_on():
    other = make(server, logger=logger)
    while not stop.is_set():
        other.completion("c")
        busy.set()
    other.close()
if sys.argv[1] == "amid a run":
    runner = threading.Thread(target=go_on)
    runner.start()
    busy.wait()
pid = os.fork()
if pid == 0:
    threading.Timer(60, os._exit, [3]).start()
    logger.log_file_path = os.path.join(sys.argv[2], "child")
    rlm.completion("c")
    rlm.completion("c")
    rlm.close()
    os._exit(0)
code = os.waitpid(pid, 0)[1]
stop.set()
if sys.argv[1] == "amid a run":
    runner.join()
rlm.close()
print(code, len(open(os.path.join(sys.argv[2], "child")).readlines()))
server.__exit__(None, None, None)
"""
    assert run_program(code, forked, str(tmp_path)) == "0 4\n"


def test_a_forked_child_that_exits_leaves_its_parents_kernels_alone() -> None:
    code = """
rlm = make(server, persistent=True)
rlm.completion("c")
faulthandler.cancel_dump_traceback_later()  # a forked child that exits would wait for its thread
if os.fork() == 0:
    sys.exit(0)
code = os.wait()[1]
print(code, rlm.completion("c").response)
rlm.close()
server.__exit__(None, None, None)
"""
    assert run_program(code) == "0 done\n"


def test_a_forked_child_that_lives_on_does_not_keep_its_parents_fork_server() -> None:
    code = """
from rlm_kernel.local.server import _servers
rlm = make(server)
rlm.completion("c")
(fork_server,) = _servers.values()
wait, go = os.pipe()
if os.fork() == 0:
    os.close(go)
    os.read(wait, 1)
    os._exit(0)
rlm.close()
print(fork_server._process.returncode)
os.close(go)
os.wait()
server.__exit__(None, None, None)
"""
    assert run_program(code) == "0\n"


def test_many_threads_with_frequent_garbage_collection_do_not_hang(tmp_path: Path) -> None:
    code = """
gc.set_threshold(1, 1, 1)
answers = []
def run(number):
    rlm = make(server, logger=RLMLogger(sys.argv[1]), max_depth=0)
    rlm.itself = rlm
    answers.append(rlm.completion("c").response)
    if number % 2:
        rlm.close()
threads = [threading.Thread(target=run, args=(n,)) for n in range(32)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(answers))
server.__exit__(None, None, None)
"""
    assert run_program(code, str(tmp_path)) == "32\n"


def test_a_program_that_closes_nothing_ends_with_its_log_written(tmp_path: Path) -> None:
    code = """
rlm = make(server, logger=RLMLogger(sys.argv[1]))
print(rlm.completion("c").response)
"""
    assert run_program(code, str(tmp_path)) == "done\n"
    (log,) = tmp_path.iterdir()
    assert len(log.read_text().splitlines()) == 2


def test_a_run_that_is_still_going_when_its_program_exits_is_cancelled() -> None:
    code = """
busy = threading.Event()
class Reader:
    def on_event(self, event):
        if event.type == "cell_output":
            busy.set()
        if event.type == "run_finished":
            print(event.status)
cell = "```repl\\nprint('on', flush=True)\\nwhile True: pass\\n```"
rlm = make(StandInServer(script(lambda _: cell)).start(), logger=Reader())
handle = rlm.start("c")
assert busy.wait(60)
"""
    assert run_program(code) == "cancelled\n"
