"""A person looks into a live run's kernel with any Jupyter client, and what they type is noted."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect  # type: ignore[import-untyped]
import pytest

from rlm.cli import main
from rlm.events import Note
from rlm.live_runs import live_runs
from rlm.trajectory import Trajectory

FIRST = "```repl\nsecret = 42\nprint('first')\n```"
LAST = "```repl\nFINAL(f'{seen} {secret}')\n```"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))


CONSOLE = """
import sys
from jupyter_client.blocking.client import BlockingKernelClient
client = BlockingKernelClient(connection_file=sys.argv[1])
client.load_connection_file()
client.start_channels()
client.wait_for_ready(timeout=60)
reply = client.execute_interactive(sys.argv[2], timeout=60)
client.stop_channels()
sys.exit(reply["content"]["status"])
"""


def attach(code: str) -> subprocess.Popen[str]:
    """Run a cell as a person would who attached a console to the live run: from outside."""
    (run,) = live_runs()
    command = [sys.executable, "-c", CONSOLE, run.connection_file, code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Visit:
    """Attaches between the model's first turn and its second."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.printed = ""

    def __call__(self, request: Any) -> str:
        if request.turn == 1:
            return FIRST
        self.printed, errors = attach(self.code).communicate()
        assert errors == "ok\n"
        return LAST


def notes(trajectory: Trajectory) -> list[Note]:
    return [e for e in trajectory.events if isinstance(e, Note) and e.kind == "console"]


def test_what_is_typed_runs_in_the_model_s_repl_and_becomes_a_note(scripted: Any) -> None:
    code = "seen = secret\nprint(context, secret)"
    visit = Visit(code)
    result = scripted(visit).completion("the context")
    assert result.response == "42 42"
    assert visit.printed == "the context 42\n"
    (note,) = notes(result.trajectory)
    assert note.data == {"code": code}
    assert note.text == "A person ran a cell in the kernel: seen = secret print(context, secret)"
    assert note.parent_id == result.trajectory.root.started.id
    assert Trajectory.from_dict(result.trajectory.to_dict()).events == result.trajectory.events


class Console:
    """The command that `rlm attach RUN` prints, run in a terminal between the first two turns."""

    PROMPT = r"In \[\d+\]: "

    def __init__(self, code: str) -> None:
        self.code = code
        self.printed = ""

    def __call__(self, request: Any) -> str:
        if request.turn == 1:
            return FIRST
        (run,) = live_runs()
        told = subprocess.check_output([sys.executable, "-m", "rlm", "attach", run.id], text=True)
        (line,) = (line for line in told.splitlines() if line.startswith("  jupyter console "))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path}
        # Plain lines: what a console draws for a terminal that can do more is not ours.
        command, *arguments = shlex.split(f"{line} --simple-prompt")
        console = pexpect.spawn(command, arguments, env=env, encoding="utf-8", timeout=60)
        try:
            console.expect(self.PROMPT)
            console.sendline(self.code)
            console.expect(self.PROMPT)
            self.printed = console.before
            console.sendeof()
            console.expect("Do you really want to exit")
            console.sendline("y")
            console.expect("keeping kernel alive")
            console.expect(pexpect.EOF)
        finally:
            console.close()
        return LAST


def test_jupyter_console_opens_the_model_s_repl_and_leaves_it_running(scripted: Any) -> None:
    console = Console("seen = secret; print('context is', context)")
    result = scripted(console).completion("the context")
    assert result.response == "42 42"
    assert "context is the context" in console.printed
    (note,) = notes(result.trajectory)
    assert note.data == {"code": console.code}


def test_what_the_model_runs_is_no_note(scripted: Any) -> None:
    result = scripted([FIRST, "```repl\nFINAL(str(secret))\n```"]).completion("c")
    assert result.response == "42"
    assert notes(result.trajectory) == []


def test_while_a_cell_runs_the_console_waits(scripted: Any) -> None:
    consoles: list[subprocess.Popen[str]] = []

    def sub(_: str) -> str:
        consoles.append(attach("print(late)"))
        return "ok"

    def root(request: Any) -> str:
        if request.turn == 1:
            # It is still in this cell when the console has sent its own, and goes on for a while
            return "```repl\nllm_query('x')\nimport time; time.sleep(3)\nlate = 'afterwards'\n```"
        consoles[0].wait()
        return "```repl\nFINAL('done')\n```"

    assert scripted(root, sub).completion("c").response == "done"
    assert consoles[0].communicate() == ("afterwards\n", "ok\n")


def test_the_command_lists_runs_and_says_how_to_attach(
    scripted: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def sub(_: str) -> str:
        (run,) = live_runs()
        assert main(["attach"]) == 0
        assert main(["attach", run.id[:8]]) == 0
        listed, how = capsys.readouterr().out.split("is enough.\n")
        assert listed.startswith(run.id)
        assert "m  Who\\u202e?" in listed
        assert f"jupyter console --existing {run.connection_file}\n" in how
        assert "the console waits" in how
        return "ok"

    rlm = scripted(["```repl\nFINAL(llm_query('x'))\n```"], sub)
    assert rlm.completion("c", root_prompt="Who\u202e\x1b[2J?").response == "ok"


def test_the_command_without_runs_says_so() -> None:
    command = [sys.executable, "-m", "rlm", "attach"]
    assert subprocess.check_output(command, text=True) == "No run is live.\n"
    done = subprocess.run([*command, "x"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "rlm: No live run 'x'. Live now: none.\n")
