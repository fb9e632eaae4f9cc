"""Live runs are known to every process of their user, and to nobody for longer than they live."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlm import RLMError
from rlm.demo.server import LMResponse
from rlm.live_runs import LiveRun, NoSuchRunError, live_run, live_runs

DONE = "```repl\nFINAL('done')\n```"
ASK = "```repl\nFINAL(llm_query('x'))\n```"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tmp_path / "runtime"


class Look:
    """Looks at the live runs whenever a sub-call is made."""

    def __init__(self) -> None:
        self.seen: list[list[LiveRun]] = []

    def __call__(self, _: str) -> str:
        self.seen.append(live_runs())
        return "ok"


def test_a_run_is_live_while_it_runs(scripted: Any, folder: Path) -> None:
    def look(_: str) -> str:
        (run,) = live_runs()
        (file,) = folder.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        connection = json.loads(Path(run.connection_file).read_text())
        seen.append((run, connection))
        assert live_run(run.id[:6]) == run
        return "ok"

    seen: list[tuple[LiveRun, dict[str, Any]]] = []
    result = scripted([ASK], look).completion("context", root_prompt="Who?")
    ((run, connection),) = seen
    assert (run.pid, run.question, run.model) == (os.getpid(), "Who?", "m")
    assert run.id == result.trajectory.root.started.run_id
    assert {"shell_port", "control_port", "iopub_port", "key"} <= connection.keys()
    assert live_runs() == []
    assert list(folder.iterdir()) == []


def test_a_run_without_a_question_is_known_by_its_context(scripted: Any, folder: Path) -> None:
    look = Look()
    scripted([ASK], look).completion("Call me Ishmael.")
    assert look.seen[0][0].question == "Call me Ishmael."


def test_children_are_not_listed_beside_their_root(scripted: Any, folder: Path) -> None:
    look = Look()
    code = "```repl\nFINAL(rlm_query('child') if context == 'root' else llm_query('x'))\n```"
    scripted(lambda _: code, look, max_depth=3).completion("root")
    assert [len(runs) for runs in look.seen] == [1]


def test_a_run_s_entry_follows_its_kernel(scripted: Any, folder: Path) -> None:
    look = Look()
    code = "```repl\nllm_query('x')\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)\n```"
    scripted([code, ASK], look).completion("c")
    before, after = (runs[0] for runs in look.seen)
    assert before.id == after.id
    assert before.connection_file != after.connection_file


def test_a_run_that_fails_is_gone_as_well(scripted: Any, folder: Path) -> None:
    look = Look()
    rlm = scripted(["```repl\nllm_query('x')\n```", LMResponse(status=400, text="no")], look)
    with pytest.raises(RLMError):
        rlm.completion("c")
    assert len(look.seen[0]) == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("word", ["0", "off", "False"])
def test_it_can_be_turned_off(
    scripted: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv("RLM_LIVE_RUNS", word)
    look = Look()
    assert scripted([ASK], look).completion("c").response == "ok"
    assert look.seen == [[]]
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_fails_no_run(
    scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "/dev/null/runtime")
    look = Look()
    assert scripted([ASK], look).completion("c").response == "ok"
    assert look.seen == [[]]


PROGRAM = """
import sys, time
from rlm.live_runs import registered
with registered("killed-1", question="q", model="m", environment="local", connection_file="f"):
    print("live", flush=True)
    time.sleep(60)
"""


def test_files_of_a_killed_process_are_removed_by_the_next_listing(folder: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "live\n"
        assert [run.id for run in live_runs()] == ["killed-1"]
        process.send_signal(signal.SIGKILL)
    assert len(list(folder.iterdir())) == 1
    assert live_runs() == []
    assert list(folder.iterdir()) == []


def entry(**changes: Any) -> str:
    values = {
        "id": "a",
        "host": "elsewhere",
        "pid": 1,
        "process_started": 1.0,
        "question": "q",
        "model": "m",
        "environment": "local",
        "started": 4e9,
        "connection_file": "f",
    }
    return json.dumps({**values, **changes})


BAD = {
    "empty": "",
    "no JSON": "{",
    "no object": "[]",
    "a number": "1",
    "deep": "[" * 50_000,
    "a field is missing": '{"id": "x"}',
    "a wrong type": entry(pid="1"),
    "of another machine": entry(),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_files_that_are_not_entries_of_this_machine_are_left_alone(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "rlm-run-x.json").write_text(text)
    assert live_runs() == []
    assert len(list(folder.iterdir())) == 1


def test_old_files_of_another_machine_are_removed(folder: Path) -> None:
    folder.mkdir()
    (folder / "rlm-run-x.json").write_text(entry(started=1e9))
    assert live_runs() == []
    assert list(folder.iterdir()) == []


def test_an_unknown_run_is_an_error_that_lists_the_known(scripted: Any, folder: Path) -> None:
    with pytest.raises(NoSuchRunError, match=r"No live run 'x'\. Live now: none\."):
        live_run("x")
