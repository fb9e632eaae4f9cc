"""What a log may decide about a new run, whoever wrote it, and where it can be left."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from story import Story, a_whole_story, stdout

from rlm import RLM, ArgumentError, ConfigurationError, ReplayWarning, RLMError, Trajectory
from rlm.events import RunStarted
from rlm.formats.notebook.restore_cell import restore_cell
from rlm.trajectory import TrajectoryError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
NAMES = st.sampled_from(
    [
        *("backend", "backend_kwargs", "environment_type", "environment_kwargs"),
        *("other_backends", "max_depth", "max_iterations", "limits", "settings"),
    ]
)
SETTINGS = st.sampled_from(
    [
        *("models", "custom_tools", "custom_sub_tools", "prices", "cell_timeout", "persistent"),
        *("sampling_args", "sub_sampling_args", "other_backend_kwargs", "python_fences"),
    ]
)
CONFIG: dict[str, Any] = {
    "backend": "openai",
    "backend_kwargs": {"model_name": "gpt-5-mini"},
    "environment_type": "local",
    "environment_kwargs": {},
    "other_backends": None,
    "max_depth": 2,
    "max_iterations": 30,
    "limits": {},
    "settings": {"models": ["gpt-5-mini"]},
}


def log(**config: Any) -> Trajectory:
    events = list(a_whole_story().events)
    assert isinstance(events[0], RunStarted)
    events[0] = replace(events[0], config={**CONFIG, **config})
    return Trajectory.from_events(events)


@given(st.dictionaries(NAMES, JSON, max_size=3), st.dictionaries(SETTINGS, JSON, max_size=3))
def test_a_log_of_any_configuration_opens_or_says_why_not(
    config: dict[str, Any], settings: dict[str, Any]
) -> None:
    config.setdefault("settings", {**CONFIG["settings"], **settings})
    trajectory = log(**config)
    try:
        RLM.from_notebook(trajectory, replay=True).close()
    except RLMError:
        pass
    except ReplayWarning:
        pass


@given(st.dictionaries(NAMES, JSON, max_size=3), st.dictionaries(SETTINGS, JSON, max_size=3))
def test_a_run_of_any_configuration_has_a_restoring_cell(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], settings: dict[str, Any]
) -> None:
    config.setdefault("settings", {**CONFIG["settings"], **settings})
    code = restore_cell(log(**config), tmp_path_factory.getbasetemp() / "run.ipynb")
    compile(code, "restore", "exec")


@given(st.integers(1, len(a_whole_story().events)))
def test_a_run_killed_at_any_moment_can_be_resumed(length: int) -> None:
    events = list(log().events)[:length]
    rlm = RLM.from_notebook(Trajectory.from_events(events), backend_kwargs={"api_key": "k"})
    replay = rlm.config.replay
    assert replay is not None
    assert replay.forked_from is not None
    turns = sum(e.type == "turn_finished" and e.run_id == events[0].id for e in events)
    # The story's first turn has a cell that failed, and its second the answer.
    assert replay.forked_from["turn"] == turns + 1
    rlm.close()


def test_a_log_without_a_run_is_refused() -> None:
    with pytest.raises(TrajectoryError, match="no run"):
        RLM.from_notebook(Trajectory(), replay=True)


def test_a_log_opens_no_sandbox() -> None:
    kwargs = {"volumes": {"/": "/host"}, "network": "host", "image": "python:3.12-slim"}
    trajectory = log(environment_type="docker", environment_kwargs=kwargs)
    with pytest.warns(ReplayWarning, match="Not taken from the log: .* network, volumes"):
        rlm = RLM.from_notebook(trajectory, replay=True)
    assert rlm.config.environment_kwargs == {"image": "python:3.12-slim"}
    given = {"network": "bridge"}
    with pytest.warns(ReplayWarning, match="volumes"):
        rlm = RLM.from_notebook(trajectory, replay=True, environment_kwargs=given)
    assert rlm.config.environment_kwargs["network"] == "bridge"


def test_a_key_is_sent_to_no_address_that_only_the_log_names() -> None:
    kwargs = {"model_name": "claude", "base_url": "https://elsewhere.example/v1"}
    trajectory = log(backend="anthropic", backend_kwargs=kwargs)
    RLM.from_notebook(trajectory, replay=True).close()
    key = {"api_key": "sk-my-own-key"}
    for options in ({"turn": 1}, {"replay": True, "on_miss": "live"}):
        with pytest.raises(ConfigurationError, match="say so: backend_kwargs=") as refused:
            RLM.from_notebook(trajectory, backend_kwargs=key, **options)
        assert "sk-my-own-key" not in str(refused.value)
    for name in ("sampling_args", "sub_sampling_args"):
        elsewhere = {name: {"temperature": 0, "api_base": "https://elsewhere.example/v1"}}
        with pytest.raises(ConfigurationError, match=f"say so: {name}="):
            RLM.from_notebook(log(settings=elsewhere), turn=1, backend_kwargs=key)
    inside = {"model_name": "m", "sampling_args": {"api_base": "https://elsewhere.example"}}
    with pytest.raises(ConfigurationError, match=r"say so: backend_kwargs\['sampling_args'\]="):
        RLM.from_notebook(log(backend_kwargs=inside), turn=1, backend_kwargs=key)
    both = {**key, "base_url": kwargs["base_url"]}
    RLM.from_notebook(trajectory, turn=1, backend_kwargs=both).close()
    other = {"model_name": "gpt-5", **key}
    RLM.from_notebook(trajectory, turn=1, backend="openai", backend_kwargs=other).close()


def test_the_flag_is_from_notebooks_own() -> None:
    options: Any = {"replay": True}
    with pytest.raises(ArgumentError, match="from_notebook"):
        RLM(backend_kwargs={"model_name": "m", "api_key": "k"}, **options)


def test_another_backend_takes_none_of_the_logs_keywords(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(variable, "sk-my-own-key")
    address = {"base_url": "https://elsewhere.example/v1"}
    trajectory = log(backend_kwargs={"model_name": "m", **address})
    for options in ({"turn": 1}, {"replay": True, "on_miss": "live"}):
        rlm = RLM.from_notebook(trajectory, backend="anthropic", model="claude", **options)
        assert rlm.config.root.backend_kwargs == {"model_name": "claude"}
        rlm.close()
    settings = {"models": ["sub"], "other_backend_kwargs": [address]}
    trajectory = log(other_backends=["openai"], settings=settings)
    options = {"other_backends": ["anthropic"], "turn": 1}
    with pytest.raises(ConfigurationError, match="other_backend_kwargs"):
        RLM.from_notebook(trajectory, **options)
    given = {"other_backend_kwargs": [{"model_name": "claude"}]}
    rlm = RLM.from_notebook(trajectory, **options, **given)
    assert rlm.config.subs[0].backend_kwargs == {"model_name": "claude"}
    rlm.close()
    with pytest.raises(ConfigurationError, match="say so: other_backend_kwargs"):
        RLM.from_notebook(trajectory, other_backends=["openai"], turn=1)


def test_options_that_a_log_may_not_choose_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-my-own-key")
    theirs = {"model_name": "m", "timeout": 5, "profile": "p", "invented": 1, "max_retries": None}
    trajectory = log(backend_kwargs=theirs, settings={"sampling_args": {"sampling_args": 3}})
    with pytest.warns(ReplayWarning, match=r"log: backend_kwargs invented, profile\. Give them"):
        rlm = RLM.from_notebook(trajectory, turn=1)
    known = {"model_name": "gpt-5-mini", "timeout": 5, "max_retries": None}
    assert rlm.config.root.backend_kwargs == known
    rlm.close()
    RLM.from_notebook(trajectory, replay=True).close()


def test_masked_values_do_not_come_back() -> None:
    kwargs = {"env": {"DB": "***"}, "output_limit": 5, "memory_limit": "<object>"}
    backend = {"model_name": "m", "timeout": "<Timeout>", "default_headers": {"X-A": "***"}}
    rlm = RLM.from_notebook(log(environment_kwargs=kwargs, backend_kwargs=backend), replay=True)
    assert rlm.config.environment_kwargs == {"output_limit": 5}
    assert rlm.config.root.backend_kwargs == {"model_name": "gpt-5-mini"}


def test_a_context_given_as_a_value_is_hashed_as_it_was() -> None:
    from rlm.context import describe
    from rlm.replay.context import context_of

    for value in ("text", b"bytes", {"a": [1.5, None]}, ["ä", "\u2028"]):
        tale = Story()
        with tale.run():
            pass
        started = tale.events[0]
        assert isinstance(started, RunStarted)
        info = describe(value, ", read from a file").to_dict()
        tale.events[0] = replace(started, context=json.loads(json.dumps(info)))
        root = Trajectory.from_events(tale.events).root
        assert root is not None
        again, about = context_of(root, value)
        assert again == value
        assert about.description == info["description"]


def test_a_turn_whose_cells_did_not_all_run_is_incomplete() -> None:
    from rlm.replay.recorded_end import finished_turns

    tale = Story()
    two = "```repl\na = 1\n```\n```repl\nb = 2\n```"
    with tale.run(status="limit"), tale.turn(two), tale.cell("a = 1", stdout("")):
        pass
    root = Trajectory.from_events(tale.events).root
    assert root is not None
    assert finished_turns(root) == []
