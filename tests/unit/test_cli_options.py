"""The command's arguments: what they become, what is refused, and that the docs show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlm.cli import main
from rlm.cli.parser import parser
from rlm.cli.reference import reference
from rlm.cli.settings import settings
from rlm.errors import ConfigurationError


def chosen(*arguments: str) -> dict[str, Any]:
    return settings(parser().parse_args(["run", "why?", "--model", "m", *arguments]))


def test_options_become_the_arguments_of_a_run() -> None:
    options = chosen(
        *("--backend", "vllm", "--base-url", "http://x/v1", "--max-depth", "2", "--tokens", "9"),
        *("--budget", "0.5", "--timeout", "60", "--max-iterations", "4", "--max-errors", "3"),
    )
    assert options["backend"] == "vllm"
    assert options["backend_kwargs"] == {"model_name": "m", "base_url": "http://x/v1"}
    assert options["environment"] == "local"
    assert (options["max_depth"], options["max_iterations"], options["max_errors"]) == (2, 4, 3)
    assert (options["max_budget"], options["max_timeout"], options["max_tokens"]) == (0.5, 60, 9)


def test_a_sub_model_is_another_backend_of_the_same_kind() -> None:
    options = chosen("--backend", "vllm", "--base-url", "http://x/v1", "--sub-model", "s")
    assert options["other_backends"] == ["vllm"]
    assert options["other_backend_kwargs"] == [{"model_name": "s", "base_url": "http://x/v1"}]


def test_prices_come_from_options_text_or_a_file(tmp_path: Path) -> None:
    assert chosen()["prices"] is None
    assert chosen("--price-in", "1", "--price-out", "2.5")["prices"] == {"m": (1.0, 2.5)}
    text = json.dumps({"m": [9, 9], "s": [3, 4]})
    both = chosen("--prices", text, "--price-in", "1", "--price-out", "2")
    assert both["prices"] == {"m": (1.0, 2.0), "s": (3.0, 4.0)}
    file = tmp_path / "prices.json"
    file.write_text(text)
    assert chosen("--prices", str(file))["prices"] == {"m": (9.0, 9.0), "s": (3.0, 4.0)}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--price-in", "1"], "together"),
        (["--prices", "nowhere.json"], "cannot be read"),
        (["--prices", "{"], "cannot be read"),
        (["--prices", '{"m": [1]}'], "JSON object of the form"),
        (["--save", "run.txt"], r"\.json, \.jsonl"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        chosen(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["walk"],
        ["run"],
        ["run", ""],
        ["run", " \n", "--dry-run"],
        ["run", "why?", "--budget", "0"],
        ["run", "why?", "--timeout", "inf"],
        ["run", "why?", "--max-depth", "1.5"],
        ["run", "why?", "--tokens", "-3"],
        ["run", "why?", "--verbose", "--quiet"],
        ["run", "why?", "--mod", "m"],
    ],
)
def test_wrong_usage_ends_with_2_and_says_how_to_use_it(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("usage: rlm")


def test_model_and_backend_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_MODEL", "from-env")
    monkeypatch.setenv("RLM_BACKEND", "vllm")
    options = settings(parser().parse_args(["run", "why?"]))
    assert options["backend"] == "vllm"
    assert options["backend_kwargs"]["model_name"] == "from-env"


def test_without_a_model_one_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "why?"]) == 2
    assert capsys.readouterr().err.startswith("rlm: No model is named. Give --model NAME")


def test_the_docs_show_the_help_as_it_is() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "cli.md"
    assert page.read_text() == reference(), "run `make docs`"
