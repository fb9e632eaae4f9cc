"""The magics in plain IPython, in a real terminal."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any

import pexpect  # type: ignore[import-untyped]
import pytest

from rlm.demo.server import script
from rlm.render.safe_text import without_ansi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rlm.demo.server import StandInServer

LOOK = "Let me look.\n```repl\nx = llm_query('hey')\nprint(len(context))\n```"
DONE = "```repl\nanswer['content'] = '# Found\\n\\x1b[2Jit **all**'\nanswer['ready'] = True\n```"
FOREVER = "```repl\nwhile True: pass\n```"


class Terminal:
    """IPython in a terminal of 100 columns."""

    def __init__(self, spawned: Any) -> None:
        self.spawned = spawned
        self.said()

    def said(self) -> str:
        """Return what was shown until the next prompt."""
        self.spawned.expect(r"In \[\d+\]: ")
        return str(without_ansi(self.spawned.before))

    def run(self, *lines: str) -> str:
        """Type a cell; return what was shown until the next prompt."""
        self.type(*lines)
        return self.said()

    def type(self, *lines: str) -> None:
        # Two empty lines end a cell of several.
        for line in (*lines, "", "") if len(lines) > 1 else lines:
            self.spawned.sendline(line)


@pytest.fixture
def terminal(tmp_path: Path, server: Callable[..., StandInServer]) -> Iterator[Any]:
    """Start IPython where a script answers as the model that is called "m"."""
    with_model: list[Any] = []

    def start(root: Any) -> Terminal:
        running = server(script(root))
        command = ["-m", "IPython", "--simple-prompt", "--colors=nocolor", "--no-banner"]
        spawned = pexpect.spawn(
            sys.executable,
            command,
            env={**os.environ, "IPYTHONDIR": str(tmp_path), "RLM_MODEL": "m", "TERM": "xterm"},
            dimensions=(40, 100),
            encoding="utf-8",
            timeout=30,
        )
        with_model.append(spawned)
        shell = Terminal(spawned)
        shell.run("%load_ext rlm")
        shell.run(f"%config RLMMagics.base_url = {running.base_url!r}")
        return shell

    yield start
    for spawned in with_model:
        spawned.sendline("exit")
        spawned.expect(pexpect.EOF)
        spawned.close()


def test_a_run_is_told_line_by_line_and_its_answer_comes_last(terminal: Any) -> None:
    shown = terminal([LOOK, DONE]).run("%%rlm -o r", "What?")
    assert re.search(r"turn 1/30 · .*Let me look\..*llm_query · m · .*turn 2/30", shown, re.DOTALL)
    answer = shown.partition("Out[")[2]
    assert "Found" in answer
    assert "it all" in answer
    assert "**" not in answer
    assert re.search(r"m · 2 turns · 1 sub-call · .*tokens in", answer)
    assert "┌" not in shown.partition("Out[")[0].replace("│", "")


def test_the_progress_display_is_erased_and_hostile_text_does_nothing(terminal: Any) -> None:
    shell = terminal([DONE])
    shell.type("%%rlm", "What?")
    shell.spawned.expect(r"In \[\d+\]: ")
    assert "\x1b[2J" not in shell.spawned.before


def test_ctrl_c_stops_the_run(terminal: Any) -> None:
    shell = terminal([FOREVER])
    shell.type("%%rlm -o r", "What?")
    shell.spawned.expect("running")
    shell.spawned.sendintr()
    assert "CancellationError: " in shell.said()
    assert "cancelled" in shell.run("r.trajectory.root.finished.status")
    assert "2" in shell.run("1 + 1")


def test_a_background_run_leaves_the_prompt_alone(terminal: Any) -> None:
    shell = terminal([DONE])
    assert "<RunHandle" in shell.run("%%rlm --bg -o r", "What?")
    assert "it **all**" in shell.run("r.result().answer")
    assert "answered" in shell.run("%rlm runs")
    assert "answer: # Found" in shell.run("%rlm show 1")


def test_step_asks_at_the_terminal(terminal: Any) -> None:
    shell = terminal([LOOK, DONE])
    shell.type("%%rlm --step -o r", "What?")
    shell.spawned.expect(re.escape("[r]un, [e]dit, [s]top? "))
    assert "  | x = llm_query('hey')" in without_ansi(shell.spawned.before)
    shell.spawned.sendline("r")
    shell.spawned.expect(re.escape("[r]un, [e]dit, [s]top? "))
    shell.spawned.sendintr()
    assert "CancellationError: " in shell.said()
    assert "1" in shell.run("len(r.trajectory.root.cells)")
