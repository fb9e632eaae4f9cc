"""What the constructor refuses, and what it says then."""

from __future__ import annotations

from typing import Any

import pytest

from rlm import RLM, ArgumentError, ConfigurationError, RLMLogger

KWARGS = {"model_name": "m", "base_url": "http://127.0.0.1:9/v1"}


def make(**options: Any) -> RLM:
    return RLM(**{"backend_kwargs": dict(KWARGS), **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backend": "nope"}, ["'nope'", "openai", "anthropic", "vllm"]),
        ({"environment": "nope"}, ["'nope'", "'local'", "'docker'", "'modal'"]),
        ({"environment": "modal"}, ["modal setup", "MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"]),
        ({"custom_tools": {"context": 1}}, ["'context'", "reserved", "llm_query_batched"]),
        ({"custom_sub_tools": {"answer": 1}}, ["custom_sub_tools", "'answer'"]),
        ({"custom_tools": {"FINAL": 1}}, ["'FINAL'"]),
        ({"custom_tools": {"history_3": 1}}, ["'history_3'"]),
        ({"custom_tools": {"not a name": 1}}, ["'not a name'"]),
        ({"custom_tools": {"class": 1}}, ["'class'"]),
        ({"max_budget": 1.0}, ["max_budget", "'m'", "prices"]),
        ({"max_iterations": 0}, ["max_iterations", "at least 1"]),
        ({"max_depth": -1}, ["max_depth"]),
        ({"max_timeout": 0}, ["max_timeout"]),
        ({"max_timeout": float("nan")}, ["max_timeout"]),
        ({"max_tokens": 0}, ["max_tokens"]),
        ({"cell_timeout": -1}, ["cell_timeout"]),
        ({"compaction_threshold_pct": 1.5}, ["compaction_threshold_pct"]),
        ({"prices": {"m": (1,)}}, ["prices['m']"]),
        ({"prices": {"m": (1, -2)}}, ["prices['m']"]),
        ({"prices": {"m": "ab"}}, ["prices['m']"]),
        ({"environment_kwargs": {"memory_limit": "much"}}, ["memory_limit", "'4g'"]),
        ({"other_backends": ["openai"]}, ["other_backends has 1", "other_backend_kwargs has 0"]),
        ({"backend_kwargs": {"base_url": "http://x/v1"}}, ["model_name"]),
    ],
)
def test_a_wrong_value_is_a_value_error_that_says_what_is_allowed(
    options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(**options)
    assert isinstance(caught.value, ValueError)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_iteration": 3}, ["'max_iteration'", "Did you mean 'max_iterations'?", "verbose"]),
        ({"environment_kwargs": {"image": "x"}}, ["'image'", "setup_code", "memory_limit"]),
        ({"max_iterations": "3"}, ["max_iterations", "whole number"]),
        ({"max_iterations": True}, ["max_iterations"]),
        ({"max_depth": None}, ["max_depth"]),
        ({"max_budget": "1"}, ["max_budget"]),
        ({"custom_tools": [1]}, ["custom_tools", "list"]),
        ({"backend_kwargs": "x"}, ["backend_kwargs"]),
        ({"environment_kwargs": "x"}, ["environment_kwargs"]),
        ({"environment_kwargs": {"setup_code": 1}}, ["setup_code"]),
        ({"environment_kwargs": {"env": {"a": 1}}}, ["env"]),
        ({"other_backends": "openai", "other_backend_kwargs": [{}]}, ["other_backends"]),
        ({"custom_system_prompt": 1}, ["custom_system_prompt"]),
        ({"approve": "yes"}, ["approve"]),
        ({"on_iteration_start": "yes"}, ["on_iteration_start"]),
        ({"logger": "file.log"}, ["on_event", "RLMLogger"]),
        ({"prices": [1]}, ["prices"]),
        ({"context_window": 5}, ["context_window"]),
        ({"context_window": {"m": "5"}}, ["context_window['m']"]),
    ],
)
def test_a_wrong_keyword_or_type_is_a_type_error(options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ArgumentError) as caught:
        make(**options)
    assert isinstance(caught.value, TypeError)
    for word in words:
        assert word in str(caught.value)


def test_the_references_arguments_may_be_given_by_position() -> None:
    rlm = RLM("openai", KWARGS, "local", {"setup_code": "1"}, 0, 2, 5, "prompt", None, None, None)
    assert rlm.config.max_depth == 2
    assert rlm.config.max_iterations == 5
    assert rlm.config.custom_system_prompt == "prompt"
    rlm.close()


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("4g", 4 << 30), ("512 MiB", 512 << 20), ("1.5G", 3 << 29), ("100", 100), (1e9, 10**9)],
)
def test_memory_limits_are_read(limit: Any, expected: int) -> None:
    assert make(environment_kwargs={"memory_limit": limit}).config.memory_limit == expected


def test_a_budget_is_accepted_with_prices_or_a_provider_that_reports_costs() -> None:
    make(max_budget=1.0, prices={"m": (1, 2)})
    RLM("openrouter", {"model_name": "m", "api_key": "k"}, max_budget=1.0)
    with pytest.raises(ConfigurationError, match="'n'"):
        make(
            max_budget=1.0,
            prices={"m": (1, 2)},
            other_backends=["openai"],
            other_backend_kwargs=[{**KWARGS, "model_name": "n"}],
        )


def test_what_logs_see_of_the_configuration_has_no_secret() -> None:
    rlm = make(backend_kwargs={**KWARGS, "api_key": "sk-secret-secret"})
    assert "sk-secret" not in repr(rlm.config.public())
    assert "sk-secret" not in repr(rlm)


def test_no_secret_is_in_the_repr_of_the_configuration() -> None:
    rlm = make(
        backend_kwargs={**KWARGS, "api_key": "planted", "default_headers": {"X": "planted"}},
        environment_kwargs={"env": {"DB_PASS": "planted"}, "setup_code": "login('planted')"},
        sampling_args={"extra_body": {"key": "planted"}},
        custom_tools={"token": "planted"},
        prices={"m": (1, 2)},
    )
    assert "planted" not in repr(rlm.config)
    assert "planted" not in repr(rlm.config.root)
    assert rlm.config.public()["environment_kwargs"]["env"] == {"DB_PASS": "***"}


def test_arguments_are_copied() -> None:
    kwargs = dict(KWARGS)
    rlm = make(backend_kwargs=kwargs)
    kwargs["model_name"] = "other"
    assert rlm.config.root.name == "m"


def test_one_reader_or_a_list_of_them_is_taken() -> None:
    make(logger=RLMLogger()).close()
    make(logger=[RLMLogger(), RLMLogger()]).close()
