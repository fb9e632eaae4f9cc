"""The table of run options is complete: every argument, flag and key has a row, and a rule."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import pytest

from rlm import (
    RLM,
    ArgumentError,
    BudgetExceededError,
    ConfigurationError,
    ErrorThresholdExceededError,
)
from rlm.backends.providers import PROVIDERS
from rlm.cli.parser import parser
from rlm.core.config import RunConfig
from rlm.core.environments import ENVIRONMENTS
from rlm.replay.from_log import is_taken
from rlm.run_options import (
    ARGUMENT,
    BACKEND,
    DOOR,
    ENVIRONMENT,
    OPTIONS,
    SAMPLING,
    RunOption,
    key_option,
    option,
)
from rlm.run_options.check import check_arguments
from rlm.run_options.option import Door, FromLog
from rlm.run_options.reference import page
from rlm.run_options.spelling import assigned, how_to_allow_more, spelled, through
from rlm.secret_values import is_secret_name
from rlm_ipython.defaults import Defaults
from rlm_ipython.flags import run_flags
from rlm_kernel.docker.options import DockerOptions
from rlm_kernel.modal.options import ModalOptions

COMMANDS: dict[Door, tuple[str, ...]] = {
    "run": ("run",),
    "replay": ("replay",),
    "demo": ("demo",),
    "build": ("kernel", "build"),
}
"""The commands that start a run, or make what one needs."""


def rows(place: str) -> dict[str, RunOption]:
    return {row.name: row for row in OPTIONS if row.place == place}


def command(names: tuple[str, ...]) -> argparse.ArgumentParser:
    found = parser()
    for name in names:
        below = next(a for a in found._actions if isinstance(a, argparse._SubParsersAction))
        found = below.choices[name]
    return found


def flags_of(door: Door) -> dict[str, argparse.Action]:
    if door == "magic":
        return run_flags()
    known: dict[str, argparse.Action] = command(COMMANDS[door])._option_string_actions
    return {name: action for name, action in known.items() if name not in {"-h", "--help"}}


def plain(text: str) -> str:
    """Return a text without markup, as one line."""
    return re.sub(r"\s+", " ", text.replace("`", "")).strip()


def test_every_argument_of_rlm_is_a_row_of_the_same_type_and_default() -> None:
    signature = inspect.signature(RLM.__init__).parameters
    arguments = {n: p for n, p in signature.items() if n not in {"self", "unknown"}}
    table = rows(ARGUMENT)
    assert arguments.keys() == table.keys()
    for name, parameter in arguments.items():
        assert parameter.annotation == table[name].type, name
        assert parameter.default == table[name].default, name


def test_rlm_and_the_table_describe_an_argument_in_the_same_words() -> None:
    text = str(inspect.getdoc(RLM.__init__))
    block = text[text.index("Args:") : text.index("Raises:")]
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", block, re.DOTALL | re.MULTILINE)
    said = {name: plain(entry) for name, entry in entries}
    for name, row in rows(ARGUMENT).items():
        sentence = row.help[0].upper() + row.help[1:]
        assert said[name].startswith(plain(sentence)), name


def test_every_field_of_the_configuration_is_an_argument() -> None:
    made = {"root", "subs", "memory_limit"}
    fields = {field.name for field in dataclasses.fields(RunConfig)} - made
    assert fields <= rows(ARGUMENT).keys()


@pytest.mark.parametrize("door", get_args(Door))
def test_every_flag_is_a_row(door: Door) -> None:
    table = {row.spelling: row for row in OPTIONS if door in row.doors}
    shorts = {row.doors[door].short: row for row in table.values() if row.doors[door].short}
    assert flags_of(door).keys() == table.keys() | shorts.keys()
    for name, action in flags_of(door).items():
        row = table.get(name) or shorts[name]
        assert action.help is not None
        assert action.help.startswith(row.doors[door].help or row.help)


def test_no_two_rows_are_the_same() -> None:
    assert len({(row.place, row.name) for row in OPTIONS}) == len(OPTIONS)


def test_every_default_of_the_notebook_is_a_row() -> None:
    traits = set(Defaults.class_own_traits(config=True)) - {"widget", "extra"}
    assert traits == {row.trait for row in OPTIONS if row.trait}
    for row in OPTIONS:
        if row.place == ARGUMENT and "magic" in row.doors and row.type != "bool":
            assert row.trait, row.name


def test_every_key_of_a_backend_is_a_row() -> None:
    known = set(chain.from_iterable(provider.arguments for provider in PROVIDERS.values()))
    assert rows(BACKEND).keys() == known


def test_every_key_of_an_environment_is_a_row_with_its_default() -> None:
    assert rows(ENVIRONMENT).keys() == set(chain.from_iterable(ENVIRONMENTS.values()))
    for name, row in rows(ENVIRONMENT).items():
        if row.default is None:
            continue
        defaults: list[Any] = [
            field.default
            for options in (DockerOptions, ModalOptions)
            for field in dataclasses.fields(options)
            if field.name == name
        ]
        assert row.default in defaults, name


def test_every_row_says_what_becomes_of_a_log_s_value() -> None:
    for row in OPTIONS:
        assert row.from_log in get_args(FromLog)
        assert row.help
        assert not row.help.endswith(".")
        if row.place == DOOR or not row.from_log:
            assert row.from_log == "given again"
    assert RunOption(name="later").from_log == "given again"


def test_a_key_that_the_table_does_not_know_is_not_taken() -> None:
    for place in (BACKEND, ENVIRONMENT, DOOR):
        assert not is_taken(key_option("invented", place), 1)
    # Any field of a provider's request is a sampling argument; addresses are refused by name.
    assert is_taken(key_option("invented", SAMPLING), 1)


def test_no_address_and_no_secret_is_taken() -> None:
    for row in OPTIONS:
        if row.address or (row.place != ARGUMENT and is_secret_name(row.name)):
            assert row.from_log == "given again", row.name
    words = ("url", "endpoint", "api_base", "location", "region_name", "residency")
    for name, row in rows(BACKEND).items():
        assert row.address == any(word in name for word in words), name


def test_a_log_may_lower_a_limit_and_no_more() -> None:
    row = RunOption(name="mem_limit", from_log="only lower", default=4 << 30)
    assert is_taken(row, "2g")
    assert is_taken(row, 4 << 30)
    for more in ("5g", float("inf"), float("nan"), None, "much", True):
        assert not is_taken(row, more)
    unlimited = RunOption(name="memory_limit", from_log="only lower")
    assert is_taken(unlimited, "64g")
    assert not is_taken(unlimited, None)


def test_an_error_names_an_option_as_the_user_gave_it() -> None:
    assert spelled("max_budget") == "max_budget"
    assert assigned("max_budget", "1.0") == "max_budget=1.0"
    assert spelled("timeout", BACKEND) == "backend_kwargs['timeout']"
    with through("run"):
        assert assigned("max_budget", "1.0") == "--budget 1.0"
        assert spelled("image", ENVIRONMENT) == "--image"
        assert spelled("model_name", BACKEND) == "--model"
        assert spelled("mem_limit", ENVIRONMENT) == "--environment-kwargs 'mem_limit'"
        assert spelled("timeout", BACKEND) == "backend_kwargs['timeout']"
        assert spelled("cell_timeout") == "cell_timeout"
    with through("magic"):
        assert spelled("max_budget") == "--budget"
        assert assigned("prices", "{}") == "%config RLMMagics.prices = {}"
        assert spelled("cell_timeout") == "RLMMagics.extra['cell_timeout']"
        assert spelled("timeout", BACKEND) == "RLMMagics.backend_kwargs['timeout']"
    assert spelled("max_budget") == "max_budget"


def test_a_limit_that_ended_a_run_is_raised_as_the_user_gave_it() -> None:
    budget, errors = BudgetExceededError(2, 1), ErrorThresholdExceededError(3, 3)
    assert how_to_allow_more(budget) == "Allow more with max_budget=USD."
    with through("run"):
        assert how_to_allow_more(errors) == "Allow more with --max-errors N."
    with through("magic"):
        assert how_to_allow_more(budget) == "Allow more with --budget USD."
        advice = 'Allow more with %config RLMMagics.extra = {"max_errors": N}.'
        assert how_to_allow_more(errors) == advice


def test_arguments_are_checked_by_their_rows() -> None:
    good = {row.name: row.default for row in OPTIONS if row.place == ARGUMENT}
    check_arguments(good)
    for name, value in {"max_depth": None, "prices": [], "approve": 1, "user_prologue": 2}.items():
        with pytest.raises(ArgumentError, match=name):
            check_arguments({name: value})
    for name, wrong in {"cell_timeout": 0, "max_errors": 0, "max_budget": float("nan")}.items():
        with pytest.raises(ConfigurationError, match=name):
            check_arguments({name: wrong})
    assert option("compaction_threshold_pct").maximum == 1


def test_the_docs_show_the_table_as_it_is() -> None:
    file = Path(__file__).parents[2] / "docs" / "options.md"
    assert file.read_text("utf-8") == page(), "run `make docs`"
