"""The main job: `rlm demo`, and that its answer is computed from the input."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rlm import RLM
from rlm.cli import main
from rlm.demo import model
from rlm.demo.question import QUESTION, Count, count, read_answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rlm.demo.server import StandInServer


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
    assert (tmp_path / "run.json").exists()


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
