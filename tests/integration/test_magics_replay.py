"""`%rlm replay` and `%rlm fork`: recorded runs again, and on from one of their turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError
from story import Story

from rlm import Trajectory
from rlm_ipython.arguments import changes_of
from rlm_ipython.flags import parse

LOOK = "```repl\nx = llm_query('hey')\n```"
DONE = "```repl\nanswer['content'] = str(context)[:9] + x\nanswer['ready'] = True\n```"
OTHER = "```repl\nanswer['content'] = 'other ' + x\nanswer['ready'] = True\n```"
MORE = "```repl\nanswer['content'] = llm_query('more') + x\nanswer['ready'] = True\n```"


def models(notebook: Any) -> list[str]:
    """Return which models were asked, in order."""
    return [request.body["model"] for request in notebook.server.requests]


@pytest.mark.parametrize("suffix", ["ipynb", "json"])
def test_a_saved_run_is_played_again_without_a_model(
    notebook: Any, tmp_path: Path, suffix: str
) -> None:
    notebook.model([LOOK, DONE])
    notebook["text"] = "the story"
    notebook.run(f"%%rlm -v text --save {tmp_path}/run.{suffix};\nWhat?")
    asked = len(notebook.server.requests)
    assert notebook.run(f"%rlm replay {tmp_path}/run.{suffix} -o again") == "the storyok"
    assert len(notebook.server.requests) == asked
    assert notebook["again"].trajectory.root.started.root_prompt == "What?"
    assert [row[3] for row in notebook.run("%rlm runs").rows] == ["What?", "What?"]
    assert notebook.run(f"%rlm replay {tmp_path}/run.{suffix} ;") is None


def test_a_run_is_forked_at_a_turn_with_another_model(notebook: Any) -> None:
    notebook.model([LOOK, DONE, OTHER])
    notebook["text"] = "the story"
    notebook.run("%%rlm -v text ;\nWhat?")
    assert notebook.run("%rlm fork 1 2 -m better") == "other ok"
    assert notebook.server.requests[-1].body["model"] == "better"
    assert len(notebook.server.requests) == 4


def test_a_context_that_the_record_does_not_hold_is_given(notebook: Any, capsys: Any) -> None:
    notebook.model([LOOK, DONE, OTHER])
    notebook["big"] = "x" * 300_000
    notebook.run("%%rlm -v big ;\nWhat?")
    notebook.fails("%rlm fork 1 2 -o r")
    assert "-v NAME" in capsys.readouterr().out
    assert notebook["r"].error
    assert notebook["r"].prompt is None
    assert notebook.run("%rlm fork 1 2 -v big") == "other ok"


def test_a_fork_asks_the_recorded_sub_model_where_it_was_asked(notebook: Any) -> None:
    notebook.model([LOOK, DONE, MORE])
    notebook.run("%config RLMMagics.backend_kwargs = {'api_key': 'sk-of-mine'}")
    notebook.run("%%rlm -s small ;\nWhat?")
    notebook.run("%config RLMMagics.base_url = 'http://127.0.0.1:9/elsewhere'")
    assert notebook.run("%rlm fork 1 2") == "okok"
    assert models(notebook) == ["m", "small", "m", "m", "small"]
    keys = {request.headers["authorization"] for request in notebook.server.requests}
    assert keys == {"Bearer sk-of-mine"}


def keys_sent_to(server: Any) -> set[str | None]:
    """Return with which keys a server was asked."""
    return {request.headers.get("authorization") for request in server.requests}


def ask_with_a_sub_model_elsewhere(notebook: Any, **of_sub_model: Any) -> Any:
    """Ask with a key of one's own, and a sub-model at another address; return its server."""
    lab = notebook.serve(lambda _: "ok")
    sub = {"base_url": lab.base_url, "model_name": "small", **of_sub_model}
    token = {"x-team-token": "sk-of-the-team"}
    notebook.magics.backend_kwargs = {"api_key": "sk-of-mine", "default_headers": token}
    notebook.magics.extra = {"other_backends": ["openai"], "other_backend_kwargs": [sub]}
    notebook.run("%%rlm ;\nWhat?")
    notebook.magics.extra = {}
    return lab


@pytest.mark.parametrize(
    ("of_sub_model", "key"), [({}, "EMPTY"), ({"api_key": "sk-of-the-lab"}, "sk-of-the-lab")]
)
def test_a_fork_gives_each_model_the_key_that_it_had(
    notebook: Any, of_sub_model: dict[str, str], key: str
) -> None:
    notebook.model([LOOK, DONE, MORE])
    lab = ask_with_a_sub_model_elsewhere(notebook, **of_sub_model)
    assert notebook.run("%rlm fork 1 2") == "okok"
    assert len(lab.requests) == 2
    assert keys_sent_to(lab) == {f"Bearer {key}"}
    assert keys_sent_to(notebook.server) == {"Bearer sk-of-mine"}


def test_a_fork_sends_no_newer_key_to_the_recorded_address(notebook: Any) -> None:
    notebook.model([LOOK, DONE, MORE])
    notebook.run("%%rlm -s small ;\nWhat?")
    notebook.magics.base_url = ""
    notebook.magics.backend_kwargs = {"api_key": "sk-new", "default_headers": {"x-new": "sk-new"}}
    assert notebook.run("%rlm fork 1 2") == "okok"
    assert models(notebook) == ["m", "small", "m", "m", "small"]
    assert "sk-new" not in str([request.headers for request in notebook.server.requests])


def test_a_fork_to_another_address_does_not_use_the_runs_key(notebook: Any) -> None:
    notebook.model([LOOK, DONE])
    lab = ask_with_a_sub_model_elsewhere(
        notebook, api_key="sk-of-the-lab", default_headers={"x-lab-token": "sk-of-the-lab"}
    )
    assert "sk-" in str(lab.requests[0].headers["x-lab-token"])
    assert "sk-" in str(notebook.server.requests[0].headers["x-team-token"])
    notebook.magics.backend_kwargs = {}
    first, address = notebook.server, notebook.magics.base_url
    notebook.model([MORE, MORE])
    elsewhere, notebook.magics.base_url = notebook.server, address
    assert notebook.run(f"%rlm fork 1 2 --base-url {elsewhere.base_url}") == "okok"
    assert notebook.run(f"%rlm fork 1 2 -s tiny --base-url {elsewhere.base_url}") == "okok"
    assert models(notebook) == ["m", "small", "m", "tiny"]
    assert keys_sent_to(elsewhere) == {"Bearer EMPTY"}
    assert "sk-" not in str([request.headers for request in elsewhere.requests])
    assert (len(first.requests), len(lab.requests)) == (2, 1)


def test_a_fork_to_another_address_without_a_key_says_which_is_missing(
    notebook: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    notebook.model([LOOK, DONE])
    notebook.magics.backend = "openrouter"
    notebook.magics.backend_kwargs = {"api_key": "sk-of-mine"}
    notebook.run("%%rlm ;\nWhat?")
    notebook.magics.backend_kwargs = {}
    elsewhere = notebook.serve(lambda _: "ok")
    notebook.fails(f"%rlm fork 1 2 --base-url {elsewhere.base_url}")
    assert "set the environment variable OPENROUTER_API_KEY" in capsys.readouterr().out
    assert elsewhere.requests == []


def test_a_fork_may_use_another_sub_model(notebook: Any) -> None:
    notebook.model([LOOK, DONE, MORE, MORE])
    notebook.run("%%rlm ;\nWhat?")
    assert notebook.run("%rlm fork 1 2 -s small") == "okok"
    assert notebook.run("%rlm fork 2 2 -s tiny -m big") == "okok"
    assert models(notebook) == ["m", "m", "m", "m", "small", "big", "tiny"]


def test_an_address_in_a_file_counts_only_when_the_user_gives_it(
    notebook: Any, tmp_path: Path, capsys: Any
) -> None:
    notebook.model([LOOK, DONE, MORE, MORE])
    notebook.run(f"%%rlm -s small --save {tmp_path}/run.json ;\nWhat?")
    assert notebook.run(f"%rlm fork {tmp_path}/run.json 2") == "okok"  # the default address
    notebook.run("%config RLMMagics.base_url = ''")
    notebook.run("%config RLMMagics.backend_kwargs = {'api_key': 'sk-of-mine'}")
    notebook.run(f"%rlm load {tmp_path}/run.json")
    notebook.run(f"%rlm replay {tmp_path}/run.json ;")
    asked = len(notebook.server.requests)
    for run in (f"{tmp_path}/run.json", 3, 4):
        notebook.fails(f"%rlm fork {run} 2")
        assert "Your key would be sent there" in capsys.readouterr().out
        notebook.fails(f"%rlm fork {run} 2 -m other -s other")
        assert "Your key would be sent there" in capsys.readouterr().out
    assert len(notebook.server.requests) == asked
    where = notebook.server.base_url
    assert notebook.run(f"%rlm fork {tmp_path}/run.json 2 --base-url {where}") == "okok"
    assert models(notebook)[asked:] == ["m", "small"]


def test_a_notebooks_tools_are_available_in_its_forks(notebook: Any) -> None:
    notebook.model(["```repl\nx = grow(limit)\n```", DONE, MORE.replace("llm_query", "grow")])
    notebook["grow"] = lambda text: f"{text}!"
    tools = "{'custom_tools': {'grow': grow, 'limit': 5}}"
    notebook.run(f"%config RLMMagics.extra = {tools}")
    notebook.run("%%rlm ;\nWhat?")
    assert notebook.run("%rlm fork 1 2") == "more!5!"


CONTAINER = {"environment_type": "docker", "environment_kwargs": {"packages": ["pandas"]}}
SUBS = {
    "other_backends": ["openai"],
    "settings": {"models": ["sub"], "other_backend_kwargs": [{"base_url": "http://x"}]},
}
HERE = {"base_url": "http://h"}


@pytest.mark.parametrize(
    ("line", "config", "changes"),
    [
        ("", {}, {}),
        ("-b anthropic", {}, {"backend": "anthropic"}),
        ("--base-url http://h", {}, {"backend_kwargs": HERE}),
        (
            "-s small --base-url http://h",
            {},
            {
                "backend_kwargs": HERE,
                "other_backends": ["openai"],
                "other_backend_kwargs": [{"model_name": "small", **HERE}],
            },
        ),
        (
            "-b vllm -s small --base-url http://h",
            {},
            {
                "backend": "vllm",
                "backend_kwargs": HERE,
                "other_backends": ["vllm"],
                "other_backend_kwargs": [{"model_name": "small", **HERE}],
            },
        ),
        ("", SUBS, {}),
        (
            "--base-url http://h",
            SUBS,
            {
                "backend_kwargs": HERE,
                "other_backend_kwargs": [{"model_name": "sub", **HERE}],
            },
        ),
        ("-b vllm --base-url http://h", SUBS, {"backend": "vllm", "backend_kwargs": HERE}),
        ("--local", CONTAINER, {"environment": "local", "environment_kwargs": {}}),
        ("--image mine", CONTAINER, {"environment_kwargs": {"image": "mine"}}),
        (
            "--docker --image mine",
            {},
            {"environment": "docker", "environment_kwargs": {"image": "mine"}},
        ),
        ("--modal", {}, {"environment": "modal", "environment_kwargs": {}}),
        ("--max-depth 2", {}, {"max_depth": 2}),
        ("--max-iterations 7", {}, {"max_iterations": 7}),
        ("--budget 0.5", {}, {"max_budget": 0.5}),
        ("--timeout 60", {}, {"max_timeout": 60.0}),
        ("--tokens 1000", {}, {"max_tokens": 1000}),
    ],
)
def test_a_flag_of_a_fork_changes_that_and_nothing_else(
    notebook: Any, line: str, config: dict[str, Any], changes: dict[str, Any]
) -> None:
    root = recorded(**config)
    flags = parse(line)
    assert changes_of(flags, notebook.magics, root, asks=True) == changes


def recorded(**config: Any) -> Any:
    """Return a run with such a configuration in its record."""
    story = Story()
    with story.run(config={"backend": "openai", **config}):
        pass
    return Trajectory.from_events(story.events).root


def test_a_container_s_image_is_refused_where_there_is_no_container(notebook: Any) -> None:
    flags = parse("--image mine")
    with pytest.raises(UsageError, match="add --docker or --modal"):
        changes_of(flags, notebook.magics, recorded(), asks=True)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("%rlm replay x.ipynb -m gpt-5", "%rlm replay asks no model, so -m has no meaning there"),
        ("%rlm replay x.ipynb -s gpt-5", "so -s has no meaning there"),
        ("%rlm replay x.ipynb --base-url http://h", "so --base-url has no meaning there"),
        ("%rlm fork 1 zwei", "TURN is the number of a turn"),
        ("%rlm fork 1", "Usage: %rlm fork ID|PATH TURN [flags]"),
        ("%rlm fork 9 2", "There is no run '9'"),
        ("%rlm replay x.ipynb --persistent", "--persistent is for questions"),
        ("%rlm replay x.ipynb --nonsense", "--nonsense"),
    ],
)
def test_impossible_arguments_are_refused_in_one_line(
    notebook: Any, capsys: Any, line: str, told: str
) -> None:
    notebook.fails(line)
    assert told in capsys.readouterr().err


def test_a_failed_replay_leaves_no_older_result(notebook: Any) -> None:
    for line in ("fork 9 2", "fork 1 x", "replay x.ipynb -m y", "replay nothing.ipynb"):
        notebook["r"] = "an older result"
        notebook.fails(f"%rlm {line} -o r")
        assert ": " in notebook["r"].error


def test_a_file_that_is_not_there_is_a_paragraph(notebook: Any, capsys: Any) -> None:
    notebook.fails("%rlm replay nothing.ipynb")
    told = capsys.readouterr().out
    assert "nothing.ipynb" in told
    assert "Traceback (most" not in told
