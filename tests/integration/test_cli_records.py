"""`rlm show`, `rlm convert` and `rlm diff` on files of recorded runs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from story import Story, a_whole_story, stdout

from rlm.cli import main
from rlm.trajectory import Trajectory, load

REFERENCE = Path(__file__).parents[1] / "data" / "reference_log.jsonl"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Trajectory.from_events(a_whole_story().events).save(tmp_path / "run.json")


def told(answer: str = "Ishmael", output: str = "1\n", code: str = "print(1)") -> Trajectory:
    story = Story()
    with story.run(answer=answer), story.turn(), story.cell(code, stdout(output)), story.call():
        pass
    return Trajectory.from_events(story.events)


@pytest.mark.parametrize("suffix", [".json", ".ipynb", ".jsonl"])
def test_show_prints_the_tree_of_any_format(
    suffix: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = load(run).save(run.with_suffix(suffix))
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    for part in ("10,485,760 characters", "turn 2/30", "llm_query x 16", "answer: Ishmael"):
        assert part in out


def test_show_reads_the_references_logs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(REFERENCE)]) == 0
    assert "answer: a whale" in capsys.readouterr().out


def test_a_turn_is_shown_with_nothing_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "".join(f"line {number}\n" for number in range(500))
    path = told(output=long, code="x = 1\n" * 100).save(tmp_path / "run.json")
    assert main(["show", str(path), "--turn", "1"]) == 0
    out = capsys.readouterr().out
    assert out.count("x = 1") == 100
    assert all(f"line {number}\n" in out for number in range(500))
    assert "user: Turn 1/30:" in out
    assert "Summarise this." in out
    assert "It is a book." in out
    assert main(["show", str(path), "--turn", "7"]) == 2
    assert "the run has no such turn (it has 1 to 1)" in capsys.readouterr().err


def test_a_terminal_gets_colours_and_no_control_of_the_models(tmp_path: Path) -> None:
    path = told(output="\x1b]0;gone\x07\x1b[2Jhello\n").save(tmp_path / "run.json")
    for more in ([], ["--turn", "1"]):
        leader, follower = pty.openpty()
        command = [sys.executable, "-m", "rlm", "show", str(path), *more]
        environment = {**os.environ, "TERM": "xterm-256color"}
        done = subprocess.Popen(command, stdout=follower, env=environment)
        os.close(follower)
        out = b""
        while True:
            try:
                chunk = os.read(leader, 4096)
            except OSError:
                break
            if not chunk:
                break
            out += chunk
        os.close(leader)
        assert done.wait(60) == 0
        assert b"\x1b[" in out
        assert b"hello" in out
        assert b"gone" not in out
        assert b"\x1b[2J" not in out


def test_convert_writes_every_format_and_loses_nothing(run: Path) -> None:
    folder = run.parent
    for name in ("a.ipynb", "a.jsonl", "a.html", "a.trace.json", "b.json"):
        assert main(["convert", str(run), str(folder / name)]) == 0
        assert (folder / name).stat().st_size
    assert load(folder / "b.json").events == load(run).events
    assert main(["convert", str(folder / "a.ipynb"), str(folder / "c.json")]) == 0
    assert load(folder / "c.json").events == load(run).events
    assert main(["convert", str(folder / "a.jsonl"), str(folder / "d.ipynb")]) == 0
    assert main(["convert", str(folder / "d.ipynb"), str(folder / "d.jsonl")]) == 0
    assert (folder / "d.jsonl").read_bytes() == (folder / "a.jsonl").read_bytes()


@pytest.mark.parametrize("suffix", [".json", ".ipynb", ".jsonl", ".html", ".trace.json"])
def test_convert_redacts_what_it_is_told_to(suffix: str, run: Path) -> None:
    target = run.parent / f"public{suffix}"
    options = ["--redact", "[Ii]shmael", "--redact", r"Part \d+"]
    assert main(["convert", str(run), str(target), *options]) == 0
    text = target.read_text()
    assert "shmael" not in text
    assert "Part 1" not in text
    assert "***" in text


def test_a_run_of_a_shared_log_can_be_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = REFERENCE.read_bytes().splitlines(keepends=True)
    path = tmp_path / "two.jsonl"
    path.write_bytes(b"".join([*lines, *lines[1:3]]))
    assert main(["show", str(path)]) == 2
    assert "holds 2 runs: choose one with --run N" in capsys.readouterr().err
    assert main(["show", str(path), "--run", "2"]) == 0
    assert "turn 2/5" in capsys.readouterr().out
    assert main(["convert", str(path), str(tmp_path / "one.json"), "--run", "1"]) == 0
    assert len(load(tmp_path / "one.json")) == len(load(REFERENCE))
    assert main(["show", str(path), "--run", "3"]) == 2


def test_diff_of_runs_that_did_the_same_is_silent(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = load(run).save(run.with_suffix(".ipynb"))
    assert main(["diff", str(run), str(other)]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "The runs did the same.\n"


def test_diff_says_what_differs_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = told().save(tmp_path / "a.json")
    second = told(answer="Ahab", output="2\n", code="print(1)\nprint(2)").save(tmp_path / "b.json")
    assert main(["diff", str(first), str(second)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "turn 1, cell 1, code",
        "   print(1)",
        "  +print(2)",
        "",
        "turn 1, cell 1, stdout",
        "  -1",
        "  +2",
        "",
        "answer",
        "  -Ishmael",
        "  +Ahab",
    ]


def test_diff_sets_figures_side_by_side(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = told().save(run.with_name("other.json"))
    assert main(["diff", str(run), str(other)]) == 1
    out = capsys.readouterr().out
    assert "turns        2" in out
    assert "->  1\n" in out
    assert "turn 2, cell 1, sub-calls" in out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["show", "nope.json"], 2, "'nope.json' does not exist"),
        (["show", "."], 2, "is a folder"),
        (["show", "page.html"], 2, "the suffix must be one of .json (every event)"),
        (["show", "broken.json"], 1, "broken.json: This is not JSON"),
        (["show", "broken.jsonl"], 1, "broken.jsonl: Line 1 is not JSON"),
        (["convert", "run.json", "run.pdf"], 2, "its suffix must be one of .json"),
        (["convert", "run.json", "run.json/a.html"], 1, "cannot be written"),
        (["convert", "run.json", "a.html", "--run", "2"], 2, "holds one run"),
        (["diff", "run.json", "nope.json"], 2, "'nope.json' does not exist"),
    ],
)
def test_what_the_commands_refuse_is_explained(
    arguments: list[str],
    code: int,
    says: str,
    run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(run.parent)
    Path("page.html").write_text("<p>")
    Path("broken.json").write_text('{"schema": 1')
    Path("broken.jsonl").write_text('{"type": ')
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


def test_a_pattern_must_be_one(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["convert", str(run), "b.json", "--redact", "("])
    assert "is no regular expression" in capsys.readouterr().err


def test_the_converted_log_is_json_lines(run: Path) -> None:
    target = run.with_suffix(".jsonl")
    main(["convert", str(run), str(target)])
    kinds = [json.loads(line)["type"] for line in target.read_text().splitlines()]
    assert kinds == ["metadata", "iteration", "iteration"]
