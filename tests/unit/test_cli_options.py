"""The command's arguments: what they become, what is refused, and that the docs show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlm.cli import main
from rlm.cli.arguments import rlm_arguments
from rlm.cli.parser import parser
from rlm.cli.reference import reference
from rlm.errors import ConfigurationError


def chosen(*arguments: str) -> dict[str, Any]:
    return rlm_arguments(parser().parse_args(["run", "why?", "--model", "m", *arguments]))


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


def test_a_container_has_the_image_and_packages_given_to_rlm_kernel_build() -> None:
    assert chosen()["environment_kwargs"] == {}
    options = chosen(
        *("--environment", "docker", "--image", "python:3.12-slim"),
        *("--package", "pandas>=2", "--package", "polars"),
    )
    assert options["environment"] == "docker"
    assert options["environment_kwargs"] == {
        "image": "python:3.12-slim",
        "packages": ["pandas>=2", "polars"],
    }


def test_other_environment_options_come_from_text_or_a_file(tmp_path: Path) -> None:
    given = {"mem_limit": "8g", "cpus": None}
    file = tmp_path / "kwargs.json"
    file.write_text(json.dumps(given))
    for source in (json.dumps(given), str(file)):
        options = chosen("--environment", "docker", "--environment-kwargs", source)
        assert options["environment_kwargs"] == given
        both = chosen(
            *("--environment", "docker", "--environment-kwargs", source, "--package", "polars")
        )
        assert both["environment_kwargs"] == {**given, "packages": ["polars"]}
    local = chosen("--environment-kwargs", '{"memory_limit": "1g"}')
    assert local["environment_kwargs"] == {"memory_limit": "1g"}


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
        (["--image", "x"], "--image is for --environment docker and --environment modal"),
        (["--package", "x", "--environment", "local"], "'local' has no image"),
        (["--environment-kwargs", "nowhere.json"], "--environment-kwargs 'nowhere.json' cannot"),
        (["--environment-kwargs", "{"], "cannot be read"),
        (
            ["--environment", "docker", "--image", "x", "--environment-kwargs", '{"image": "y"}'],
            "--image and 'image' of --environment-kwargs set the same thing",
        ),
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
    options = rlm_arguments(parser().parse_args(["run", "why?"]))
    assert options["backend"] == "vllm"
    assert options["backend_kwargs"]["model_name"] == "from-env"


def test_an_option_that_an_environment_lacks_is_refused_before_any_call(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = ["run", "why?", "--model", "m", "--base-url", "http://127.0.0.1:1/v1"]
    assert main([*run, "--environment-kwargs", '{"image": "x"}']) == 2
    assert "'local' (--environment-kwargs) takes no argument 'image'" in capsys.readouterr().err
    assert main([*run, "--environment", "nowhere", "--image", "x"]) == 2
    assert "Unknown environment 'nowhere'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--budget", "1"], "rlm: --budget 1.0 cannot be kept: "),
        (["--budget", "1"], """Give its price: --prices '{"m": [USD per 1M input tokens, """),
        (["--backend", "vllm"], "The backend 'vllm' needs --base-url, "),
        (["--base-url", "nowhere"], "rlm: --base-url must be an address such as "),
        (
            ["--environment-kwargs", '{"output_limit": 0}'],
            "rlm: --environment-kwargs 'output_limit' must be at least 1, not 0.",
        ),
    ],
)
def test_an_error_names_the_flag_not_the_argument_behind_it(
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert main(["run", "why?", "--model", "m", "--dry-run", *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_without_a_model_one_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "why?"]) == 2
    assert capsys.readouterr().err.startswith("rlm: No model is named. Give --model NAME")


def test_the_docs_show_the_help_as_it_is() -> None:
    page = Path(__file__).parent.parent.parent / "docs" / "cli.md"
    assert page.read_text() == reference(), "run `make docs`"
