"""`rlm replay` as a person uses it: a process, its output, its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rlm import RLM, Trajectory
from rlm.cli import main
from rlm.demo.server import StandInServer, script

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TURNS = [
    "```repl\nprint(llm_query('first'))\n```",
    "```repl\nanswer['content'] = f'{len(context)} characters'; answer['ready'] = True\n```",
]


def saved(path: Path, context: Any = "Call me Ishmael.", turns: list[str] = TURNS) -> Path:
    with StandInServer(script(turns, str.upper)) as server:
        kwargs = {"model_name": "m", "base_url": server.base_url}
        with RLM("vllm", kwargs) as rlm:
            return rlm.completion(context, root_prompt="How long?").save(path)


def test_a_replay_prints_the_answer_and_needs_no_key(tmp_path: Path) -> None:
    path = saved(tmp_path / "run.ipynb")
    again = tmp_path / "again.json"
    done = subprocess.run(
        [sys.executable, "-m", "rlm", "replay", str(path), "--save", str(again)],
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"16 characters\n"
    assert b"2 turns" in done.stderr
    assert Trajectory.load(path).same_as(Trajectory.load(again))


def test_a_context_that_is_not_in_the_log_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = tmp_path / "book.txt"
    book.write_text("Call me Ishmael. " * 10_000)
    path = saved(tmp_path / "run.json", book.read_text())
    assert main(["replay", str(path)]) == 1
    assert "does not hold its context" in capsys.readouterr().err
    assert main(["replay", str(path), "--context", str(book), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["answer"] == "170000 characters"
    book.write_text("Call me Ahab.")
    assert main(["replay", str(path), "--context", str(book)]) == 1
    assert "is not the one that the run was about" in capsys.readouterr().err
    assert main(["replay", str(path), "--context", str(tmp_path / "none.txt")]) == 2


@pytest.mark.parametrize(
    ("context", "content"),
    [
        ([{"row": n} for n in range(10_000)], json.dumps([{"row": n} for n in range(10_000)])),
        ({"ä": "Call me Ishmael. " * 10_000}, '{"ä": "' + "Call me Ishmael. " * 10_000 + '"}'),
        (b"plain" * 20_000, "plain" * 20_000),
        ("line\n" * 20_000, "\ufeff" + "line\r\n" * 20_000),
    ],
)
def test_a_file_restores_a_context_of_any_form(
    tmp_path: Path, context: Any, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "run.ipynb", context)
    file = tmp_path / "file"
    file.write_bytes(content.encode())
    assert main(["replay", str(path), "--context", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == f"{len(context)} characters"
    file.write_bytes(content.encode()[:-3])
    assert main(["replay", str(path), "--context", str(file)]) == 1
    said = capsys.readouterr().err
    assert "is not the one that the run was about" in said
    assert f"a {type(context).__name__} of" in said


def test_a_fork_asks_the_model_from_its_turn_on(
    tmp_path: Path, server: Callable[..., StandInServer], capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "run.json")
    live = server(script(["```repl\nFINAL('a fork')\n```"]))
    where = ["--base-url", live.base_url, "--model", "other"]
    arguments = ["replay", str(path), "--turn", "2", "--message", "Be brief.", *where]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "a fork\n"
    (request,) = live.requests
    assert request.body["model"] == "other"
    assert "Be brief." in str(request.messages)


def test_different_output_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turns = ["```repl\nimport os\nprint(os.urandom(8))\n```", TURNS[1]]
    path = saved(tmp_path / "run.json", turns=turns)
    assert main(["replay", str(path)]) == 0
    assert "Turn 1, cell 1 gave other output than recorded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--turn", "7", "--base-url", "http://127.0.0.1:1/v1"], "from turn 1 to turn 2"),
        (["--turn", "1"], "Your key would be sent there"),
        (["--model", "other"], "A replay asks no model"),
        (["--save", "run.xyz"], "suffix"),
    ],
)
def test_contradictory_options_are_refused(
    tmp_path: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[Any]
) -> None:
    path = saved(tmp_path / "run.json")
    assert main(["replay", str(path), *arguments]) == 2
    assert says in capsys.readouterr().err
