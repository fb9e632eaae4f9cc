"""`%%rlm` in a real IPython shell: what it asks, what its value is, what it leaves."""

from __future__ import annotations

import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from rlm import RLM
from rlm.api import approval
from rlm.trajectory import load
from rlm_ipython.arguments import rlm_arguments
from rlm_ipython.flags import parse
from rlm_kernel.docker.engine import engine, engine_address
from rlm_kernel.docker.images import Images
from rlm_kernel.docker.options import docker_options

LOOK = "```repl\nprint(type(context).__name__)\n```"
DONE = "```repl\nanswer['content'] = {}\nanswer['ready'] = True\n```"


def done(expression: str = "str(context)") -> str:
    return DONE.format(expression)


def test_the_body_alone_is_the_prompt(notebook: Any) -> None:
    notebook.model([done()])
    assert notebook.run("%%rlm\nWhat is\nthis?\n") == "What is\nthis?"


def test_a_variable_is_the_context_and_the_body_the_question(notebook: Any) -> None:
    notebook.model([done("context[:9]")])
    notebook["report"] = "the story of a whale"
    assert notebook.run("%%rlm -v report\nWhat is it about?") == "the story"
    sent = json.dumps(notebook.server.requests[0].body)
    assert "Answer the following: What is it about?" in sent
    assert "whale" not in sent


def test_several_variables_are_a_dict(notebook: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("of a file")
    notebook.model([done("sorted(context.items())")])
    notebook["one"], notebook["two"] = 1, tmp_path / "a.txt"
    assert notebook.run("%%rlm -v one --var two\n?") == "[('one', 1), ('two', 'of a file')]"


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("text", "str"),
        ([1, 2], "list"),
        ({"a": 1}, "dict"),
        (Path(__file__), "str"),
        ({1, 2}, "set"),
        (1 + 2j, "complex"),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_any_variable_can_be_the_context(notebook: Any, value: Any, seen: str) -> None:
    notebook.model([done("type(context).__name__")])
    notebook["value"] = value
    assert notebook.run("%%rlm -v value\n?") == seen


def test_a_dataframe_and_an_array_can_be_the_context(notebook: Any) -> None:
    notebook.model([done("int(context.sum().sum())"), done("context.shape")])
    notebook.run("import pandas as pd, numpy as np")
    notebook.run("frame = pd.DataFrame({'a': [1, 2]}); array = np.zeros((2, 3))")
    assert notebook.run("%%rlm -v frame\n?") == "3"
    assert notebook.run("%%rlm -v array\n?") == "(2, 3)"


def test_names_in_braces_are_filled_where_they_are_small(notebook: Any) -> None:
    notebook.model([done()])
    notebook["who"], notebook["n"], notebook["big"] = "Ahab", 3, "x" * 5_000
    notebook["some"], notebook["thing"] = [1, 2], object()
    asked = "{who} {n} {some} {big} {thing} {unknown} {{who}} {'a': 1} {0} {In} {print}"
    assert notebook.run(f"%%rlm\n{asked}") == (
        "Ahab 3 [1, 2] {big} {thing} {unknown} {{who}} {'a': 1} {0} {In} {print}"
    )


def test_the_magic_line_is_not_expanded_by_ipython(notebook: Any) -> None:
    notebook["model"] = "other"
    notebook.model([done()])
    notebook.run("%%rlm -m {model}\n?")
    assert notebook.server.requests[0].body["model"] == "{model}"


def test_the_answer_is_a_string_and_the_value_of_the_cell(notebook: Any, capsys: Any) -> None:
    notebook.model([done("'**bold**'"), done("context + '!'")])
    answer = notebook.run("%%rlm\n?")
    assert answer == "**bold**"
    assert notebook.run("_ + ''") == "**bold**"
    shown = capsys.readouterr().out
    assert shown.count("**bold**\n") == 1
    assert "m · 1 turn · " in shown
    assert type(pickle.loads(pickle.dumps(answer))) is str
    notebook["last"] = answer
    assert notebook.run("%%rlm -v last\n?") == "**bold**!"


def test_the_answer_has_a_markdown_repr_and_is_otherwise_a_string(notebook: Any) -> None:
    hostile = "# Hi\n<img src=x onerror=alert(1)>\n[go](javascript:alert(1)) ![t](http://e.vil/x)"
    notebook.model([done(repr(hostile))])
    answer = notebook.run("%%rlm\n?")
    assert answer == hostile
    shown = notebook.shell.display_formatter.format(answer)[0]["text/markdown"]
    assert "# Hi" in shown
    assert "<img" not in shown
    assert "](javascript" not in shown
    assert "![" not in shown
    assert "1 turn" in shown


@pytest.mark.parametrize("line", ["--quiet", ";", "-o r;", "-o r ; "])
def test_a_quiet_cell_shows_nothing(notebook: Any, capsys: Any, line: str) -> None:
    notebook.model([done()])
    assert notebook.run(f"%%rlm {line}\nan open bracket ( is no Python") is None
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    if "-o" in line:
        assert notebook["r"].answer == "an open bracket ( is no Python"


def test_the_result_has_answer_usage_and_trajectory(notebook: Any, tmp_path: Path) -> None:
    notebook.model([LOOK, done()])
    notebook.run("%%rlm -o r\nWhat?")
    result = notebook["r"]
    assert result.answer == "What?"
    assert result.error is None
    assert result.usage.total_calls == 2
    assert len(result.trajectory.root.turns) == 2
    assert load(result.save(tmp_path / "run.json")).root.answer == "What?"


def test_a_failed_run_is_bound_too_with_its_error(notebook: Any, capsys: Any) -> None:
    notebook.model([LOOK, done()])
    error = notebook.fails("%%rlm -o r --tokens 1500\nWhat?")
    assert type(error).__name__ == "TokenLimitExceededError"
    result = notebook["r"]
    assert result.error.startswith("TokenLimitExceededError: ")
    assert result.trajectory.root.finished.status == "limit"
    assert result.usage.total_calls == 1
    told = capsys.readouterr().out
    assert "Allow more with --tokens N." in told
    assert "r.trajectory" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("-b anthropic", "MissingKeyError: "),
        ("--budget 1", "ConfigurationError: --budget 1.0 cannot be kept"),
        ("-v nothing", "UsageError: "),
        ("--image x", "UsageError: --image is for containers"),
        ("--bg --save r.pdf", "ConfigurationError: --save r.pdf"),
    ],
)
def test_a_run_that_is_refused_leaves_no_older_result(notebook: Any, line: str, error: str) -> None:
    notebook.model([done()])
    notebook["r"] = "an older result"
    notebook.fails(f"%%rlm -o r {line}\n?")
    assert notebook["r"].error.startswith(error)
    assert (notebook["r"].answer, notebook["r"].trajectory) == ("", None)


def test_a_run_is_saved_when_asked_and_a_bad_path_is_refused_first(
    notebook: Any, tmp_path: Path, capsys: Any
) -> None:
    notebook.model([done()])
    notebook.run(f'%%rlm --save "{tmp_path}/my runs/r.json"\nWhat?')
    assert load(tmp_path / "my runs" / "r.json").root.answer == "What?"
    notebook.fails(f"%%rlm --save {tmp_path}/r.pdf\nWhat?")
    notebook.fails("%%rlm --save /proc/nothing/r.json\nWhat?")
    told = capsys.readouterr().out
    assert "the suffix must be one of" in told
    assert "nothing can be written there" in told
    assert len(notebook.server.requests) == 1


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("%%rlm -v reprt\n?", "no variable 'reprt'. Did you mean report?"),
        ("%%rlm -v 1x\n?", "'1x' is not a variable's name"),
        ("%%rlm -o class\n?", "'class' is not a variable's name"),
        ("%%rlm --budget free\n?", "'free' is not a number of more than 0"),
        ("%%rlm --nonsense\n?", "--nonsense"),
        ("%%rlm --image x\n?", "--image is for containers"),
        ("%%rlm --step --bg\n?", "cannot go with --bg"),
        ("%%rlm --save 'x\n?", "No closing quotation"),
        ("%%rlm\n   \n", "holds no question"),
    ],
)
def test_impossible_arguments_are_refused_in_one_line_before_anything_is_sent(
    notebook: Any, capsys: Any, cell: str, told: str
) -> None:
    notebook.model([done()])
    notebook["report"] = "text"
    notebook.fails(cell)
    captured = capsys.readouterr()
    line = (captured.out + captured.err).strip()
    assert line.startswith("UsageError: ")
    assert told in line
    assert "\n" not in line
    assert notebook.server.requests == []


def test_no_model_and_no_key_say_what_to_do(notebook: Any, capsys: Any) -> None:
    notebook.fails("%%rlm\n?")
    assert "%config RLMMagics.model" in capsys.readouterr().err
    error = notebook.fails("%%rlm -m gpt-5-mini\n?")
    told = capsys.readouterr().out
    assert "OPENAI_API_KEY" in told
    assert "getpass" in told
    assert "Traceback" not in told
    notebook.run("%rlm traceback")
    assert "Traceback" in capsys.readouterr().out
    assert notebook.magics.last_error is error


def test_no_docker_says_what_to_do(notebook: Any, capsys: Any, monkeypatch: Any) -> None:
    notebook.model([done()])
    monkeypatch.setenv("DOCKER_HOST", "unix:///nothing/here.sock")
    notebook.fails("%%rlm --docker -o r\n?")
    told = capsys.readouterr().out
    assert told.startswith("SandboxError: ")
    assert "/nothing/here.sock" in told
    assert "rlm doctor" in told
    assert "Traceback (most" not in told
    assert notebook["r"].error.startswith("SandboxError")
    assert notebook.server.requests == []


def test_a_budget_needs_a_price_and_is_kept(notebook: Any, capsys: Any) -> None:
    notebook.model([LOOK, done()])
    notebook.fails("%%rlm --budget 0.01\n?")
    assert "%config RLMMagics.prices" in capsys.readouterr().out
    notebook.run("%config RLMMagics.prices = {'m': (1000, 1000)}")
    notebook.fails("%%rlm --budget 1.4 -o r\n?")
    assert "Allow more with --budget USD." in capsys.readouterr().out
    assert 0 < notebook["r"].usage.total_cost <= 1.4


def test_a_model_that_fails_is_a_paragraph(notebook: Any, capsys: Any) -> None:
    from rlm.demo.server import LMResponse

    notebook.model([LMResponse(text="no such model \x1b[31m", status=404)])
    notebook.fails("%%rlm -o r\n?")
    told = capsys.readouterr().out
    assert told.startswith("BackendError: ")
    assert "\x1b" not in told
    assert "%rlm traceback" in told
    assert notebook["r"].error.startswith("BackendError")


def test_defaults_come_from_traits_and_flags_win(notebook: Any) -> None:
    notebook.model([done()] * 2)
    notebook.run("%config RLMMagics.model = 'mine'")
    notebook.run("%%rlm\n?")
    notebook.run("%%rlm --model other\n?")
    assert [r.body["model"] for r in notebook.server.requests] == ["mine", "other"]


ARGUMENTS: dict[str, Any] = {
    "backend": "openai",
    "backend_kwargs": {"model_name": "m"},
    "environment": "local",
    "environment_kwargs": {},
    "max_depth": 1,
    "max_iterations": 30,
    "max_budget": None,
    "max_timeout": None,
    "max_tokens": None,
    "prices": None,
    "persistent": False,
}
AT = {"base_url": "http://h"}
MINE = {"image": "mine"}


@pytest.mark.parametrize(
    ("line", "defaults", "arguments"),
    [
        ("", {}, {}),
        ("-b anthropic", {}, {"backend": "anthropic"}),
        ("--backend vllm --base-url http://h", {}, {"backend": "vllm", "backend_kwargs": AT}),
        (
            "",
            {"backend": "vllm", "base_url": "http://h"},
            {"backend": "vllm", "backend_kwargs": AT},
        ),
        # Another backend's key is not sent to the address of the default one.
        ("-b anthropic", AT, {"backend": "anthropic"}),
        ("-b anthropic", {"backend_kwargs": {"api_key": "k"}}, {"backend": "anthropic"}),
        ("-m big", {}, {"backend_kwargs": {"model_name": "big"}}),
        (
            "-s small",
            AT,
            {
                "backend_kwargs": AT,
                "other_backends": ["openai"],
                "other_backend_kwargs": [{"model_name": "small", **AT}],
            },
        ),
        ("--docker", {}, {"environment": "docker"}),
        ("--modal", {}, {"environment": "modal"}),
        ("--local", {"environment": "docker", "image": "mine"}, {}),
        (
            "--docker --image mine",
            {"image": "other"},
            {"environment": "docker", "environment_kwargs": MINE},
        ),
        ("--modal", {"image": "mine"}, {"environment": "modal", "environment_kwargs": MINE}),
        ("", {"image": "mine"}, {}),
        (
            "--docker",
            {"environment": "docker", "environment_kwargs": {"cpus": 1}},
            {"environment": "docker", "environment_kwargs": {"cpus": 1}},
        ),
        (
            "--modal",
            {"environment": "docker", "environment_kwargs": {"cpus": 1}},
            {"environment": "modal"},
        ),
        ("--max-depth 3", {"max_depth": 2}, {"max_depth": 3}),
        ("--max-iterations 7", {"max_iterations": 2}, {"max_iterations": 7}),
        ("--budget 0.5", {"budget": 1.0}, {"max_budget": 0.5}),
        ("--timeout 60", {"timeout": 1.0}, {"max_timeout": 60.0}),
        ("--tokens 1000", {"tokens": 1}, {"max_tokens": 1000}),
        (
            "",
            {"max_depth": 2, "max_iterations": 9, "budget": 1.0, "timeout": 2.0, "tokens": 3},
            {
                "max_depth": 2,
                "max_iterations": 9,
                "max_budget": 1.0,
                "max_timeout": 2.0,
                "max_tokens": 3,
            },
        ),
        ("", {"prices": {"m": [1, 2]}}, {"prices": {"m": (1, 2)}}),
        ("--persistent", {}, {"persistent": True}),
        ("--step", {}, {"approve": approval.ask}),
        ("", {"extra": {"max_errors": 2}}, {"max_errors": 2}),
    ],
)
def test_a_line_and_the_defaults_are_the_arguments_of_rlm(
    notebook: Any, line: str, defaults: dict[str, Any], arguments: dict[str, Any]
) -> None:
    notebook.magics.model = "m"
    for name, value in defaults.items():
        setattr(notebook.magics, name, value)
    found = rlm_arguments(parse(line), notebook.magics)
    expected = {**ARGUMENTS, **arguments}
    expected["backend_kwargs"] = {"model_name": "m", **expected["backend_kwargs"]}
    assert found == expected
    inspect.signature(RLM).bind(**found)


def test_limits_of_a_line_end_the_run(notebook: Any) -> None:
    forever = "```repl\nwhile True: pass\n```"
    notebook.model([LOOK, "It is a str."])
    assert notebook.run("%%rlm --max-iterations 1\n?") == "It is a str."
    notebook.model([forever])
    error = notebook.fails("%%rlm --timeout 0.2 -o r\n?")
    assert type(error).__name__ == "TimeoutExceededError"
    assert notebook["r"].trajectory.root.finished.status == "limit"


def test_a_child_has_a_kernel_where_the_depth_allows_it(notebook: Any) -> None:
    asks = "answer['content'] = rlm_query('child') if context == 'root' else context"
    notebook.model(lambda _: f"```repl\n{asks}\nanswer['ready'] = True\n```")
    assert notebook.run("%%rlm --max-depth 2 -o r\nroot") == "child"
    assert len(list(notebook["r"].trajectory.root.walk())) == 2


def test_another_backend_is_called_with_its_protocol(notebook: Any, monkeypatch: Any) -> None:
    notebook.model([done()])
    where = notebook.server.url
    notebook.run("%config RLMMagics.base_url = 'http://127.0.0.1:9'")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-mine")
    assert notebook.run(f"%%rlm -b anthropic -m claude --base-url {where}\nWhat?") == "What?"
    [request] = notebook.server.requests
    assert (request.path, request.model) == ("/v1/messages", "claude")


def test_docker_is_where_the_models_code_runs(notebook: Any, docker: dict[str, Any]) -> None:
    address = engine_address()
    image = Images(engine(address), address).resolve(docker_options(docker)).name
    notebook.model([done("open('/.dockerenv').read() or __import__('os').getuid()")])
    assert notebook.run(f"%%rlm --docker --image {image} -o r\n?") == "65534"
    config = notebook["r"].trajectory.root.started.config
    assert config["environment_type"] == "docker"
    assert config["environment_kwargs"] == {"image": image}


def test_a_sub_model_answers_sub_calls(notebook: Any) -> None:
    notebook.model(["```repl\nx = llm_query('hey')\n```", done("x")])
    assert notebook.run("%%rlm -s small\n?") == "ok"
    assert [r.body["model"] for r in notebook.server.requests] == ["m", "small", "m"]


def test_a_persistent_run_goes_on_where_the_last_one_was(notebook: Any, capsys: Any) -> None:
    notebook.model(["```repl\nkept = 41\n```\n" + done(), done("kept + 1"), done("'x'")])
    notebook.run("%%rlm --persistent\nfirst")
    assert notebook.run("%%rlm --persistent\nsecond") == "42"
    notebook.run("%%rlm\nthird")
    notebook.run("%rlm close")
    assert "closed 1 persistent RLM" in capsys.readouterr().out
    assert len(notebook.magics.kept) == 0
