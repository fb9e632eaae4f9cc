"""The main job: `rlm demo`, and that its answer is computed from the input."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import nbclient
import nbformat
import pytest

from rlm import RLM, Trajectory
from rlm.cli import main
from rlm.demo import model
from rlm.demo.question import QUESTION, Count, count, read_answer
from rlm.trajectory.comparison import compare_outputs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rlm.demo.server import StandInServer


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo was run and saved: the folder of `the demo.ipynb`, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    done = rlm("demo", "--save", "the demo.ipynb", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


def rlm(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "rlm", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_demo_answers_about_10_mb_and_a_plain_count_agrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--log-dir", str(tmp_path), "--save", str(tmp_path / "run.json")]) == 0
    printed = capsys.readouterr()
    said = read_answer(printed.out)
    assert said is not None
    assert said.raises > 100
    assert "The model is a STAND-IN" in printed.err
    assert "count of the same files agrees" in printed.err
    assert "rlm demo --backend openai --model" in printed.err
    (log,) = tmp_path.glob("*.jsonl")
    assert f"Log: {log}" in printed.err
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["type"] for line in lines] == ["metadata"] + ["iteration"] * 4
    assert log.stat().st_size < 5_000_000, "the log must not hold the context"
    assert f"rlm replay {tmp_path / 'run.json'}" in printed.err
    assert main(["replay", str(tmp_path / "run.json")]) == 0
    assert capsys.readouterr().out == printed.out


def test_the_demo_replays_by_the_command_that_it_prints(saved: tuple[Path, str]) -> None:
    folder, said = saved
    command = shlex.split(said.splitlines()[-1])
    assert command == ["rlm", "replay", "the demo.ipynb"]
    done = rlm(*command[1:], "--save", "again.json", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "gave other output than recorded" not in done.stderr
    recorded = Trajectory.load(folder / "the demo.ipynb")
    same = recorded.same_as(Trajectory.load(folder / "again.json"))
    assert same, str(same)
    assert recorded.root is not None
    assert done.stdout == f"{recorded.root.answer}\n"


def test_files_written_from_the_demo_replay_too(saved: tuple[Path, str]) -> None:
    folder, _ = saved
    steps = (
        ("convert", "the demo.ipynb", "copies/copy.json"),
        ("replay", "copies/copy.json", "--save", "replayed.ipynb"),
        ("convert", "replayed.ipynb", "replayed.json"),
        ("replay", "replayed.json"),
        ("convert", "replayed.json", "page.html"),
        ("convert", "replayed.json", "redacted.json", "--redact", "raise"),
    )
    for step in steps:
        done = rlm(*step, folder=folder)
        assert done.returncode == 0, done.stderr
    contexts = {path.parent.name for path in folder.rglob("context.json")}
    assert {"the demo.rlm", "copy.rlm", "replayed.rlm"} <= contexts
    assert not {"page.rlm", "redacted.rlm"} & contexts


def test_the_demo_replays_in_every_environment(
    saved: tuple[Path, str], environment: str, request: pytest.FixtureRequest
) -> None:
    path = saved[0] / "the demo.ipynb"
    options = request.getfixturevalue("docker") if environment == "docker" else {}
    kwargs: dict[str, Any] = {"environment": environment, "environment_kwargs": options}
    with RLM.from_notebook(path, replay=True, **kwargs) as again:
        same = Trajectory.load(path).same_as(again.completion().trajectory)
    assert same, str(same)


def test_the_demo_is_forked_from_the_command_line(
    saved: tuple[Path, str], server: Callable[..., StandInServer]
) -> None:
    live = server(model.reply)
    arguments = ("the demo.ipynb", "--turn", "3", "--base-url", live.base_url)
    done = rlm("replay", *arguments, folder=saved[0])
    assert done.returncode == 0, done.stderr
    assert read_answer(done.stdout) is not None
    assert next(each.turn for each in live.requests if each.is_root) == 3


@pytest.mark.parametrize("kernel", ["rlm", "python3"])
def test_the_demos_notebook_runs_again_from_top_to_bottom(
    saved: tuple[Path, str], kernel: str
) -> None:
    path = saved[0] / "the demo.ipynb"
    again = nbformat.read(path, as_version=4)
    recorded = Trajectory.load(path).root
    assert recorded is not None
    nbclient.NotebookClient(
        again,
        kernel_name=kernel,
        timeout=60,
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    ).execute()
    cells = [each for each in again.cells if each.cell_type == "code" and each.id != "restore"]
    for cell, now in zip(recorded.cells, cells, strict=True):
        assert compare_outputs(cell.outputs, now.outputs) == ()


def test_a_demo_without_its_input_file_takes_one(saved: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copy(saved[0] / "the demo.ipynb", tmp_path / "moved.ipynb")
    (tmp_path / "moved.rlm").mkdir()
    damaged = tmp_path / "moved.rlm" / "context.json"
    damaged.write_bytes(b" " * (saved[0] / "the demo.rlm" / "context.json").stat().st_size)
    done = rlm("convert", "moved.ipynb", "other.ipynb", folder=tmp_path)
    assert done.returncode == 0
    assert not (tmp_path / "other.rlm").exists(), "what is beside it is another context"
    damaged.unlink()
    done = rlm("replay", "moved.ipynb", folder=tmp_path)
    assert done.returncode == 1
    assert "--context FILE.json" in done.stderr
    file = saved[0] / "the demo.rlm" / "context.json"
    done = rlm("replay", "moved.ipynb", "--context", str(file), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    file = next((saved[0] / "runs").glob("*.jsonl"))
    done = rlm("replay", "moved.ipynb", "--context", str(file), folder=tmp_path)
    assert done.returncode == 1
    assert "is not the one that the run was about" in done.stderr


def test_an_html_page_of_the_demo_comes_without_its_input_file(tmp_path: Path) -> None:
    done = rlm("demo", "--save", "page.html", "--quiet", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "rlm replay" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "runs"]


@pytest.mark.parametrize(
    "sources",
    [
        {"a.py": "def f():\n    raise NotImplementedError\n", "b.py": "x = 1\n"},
        {
            f"{name}.py": "class C:\n" + "    def f(self):\n        raise NotImplementedError\n" * n
            for name, n in [("z", 70), ("y", 70), ("x", 3)]
        }
        | {"big.py": "x = 'NotImplementedError'\n" * 5000},
    ],
)
def test_another_input_gives_another_right_answer(
    server: Callable[..., StandInServer], sources: dict[str, str]
) -> None:
    kwargs = {"model_name": model.NAME, "base_url": server(model.reply).base_url}
    with RLM(backend="vllm", backend_kwargs=kwargs, max_depth=2) as rlm:
        result = rlm.completion(sources, root_prompt=QUESTION)
    assert (
        read_answer(result.response) == count(sources) != Count(raises=0, files=0, most="", in_it=0)
    )
    assert "a second count of that file agrees" in result.response
    assert result.trajectory is not None
    assert result.trajectory.root is not None
    assert [child.answer for child in result.trajectory.root.children] == [
        str(count(sources).in_it)
    ]


def test_a_real_model_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--backend", "openai"]) == 2
    assert "--model" in capsys.readouterr().err
