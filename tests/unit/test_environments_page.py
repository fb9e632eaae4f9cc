"""docs/environments.md names every option of every environment with its default, and no other."""

from __future__ import annotations

import ast
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from rlm.core.environments import ENVIRONMENTS
from rlm_kernel.docker.options import DockerOptions
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.modal.options import ModalOptions
from rlm_kernel.sizes import byte_count

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()

OPTIONS: dict[str, tuple[type[Any], ...]] = {
    "local": (KernelOptions,),
    "docker": (KernelOptions, DockerOptions),
    "modal": (KernelOptions, ModalOptions),
}


def rows(environment: str) -> list[tuple[list[str], str, str]]:
    """Return the rows of an environment's table: names, defaults, remark."""
    section = PAGE.partition(f"\n## {environment}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`\w+`.*?) \| (.*?) ?\| ?(.*?) ?\|$", section, re.MULTILINE)
    found = [(re.findall(r"`(\w+)`", names), said, remark) for names, said, remark in cells]
    assert found[0][0] == ["environment_kwargs"]
    return found[1:]


def default_of(environment: str, option: str) -> Any:
    """Return what the code takes when nothing is said."""
    (field,) = (f for kind in OPTIONS[environment] for f in fields(kind) if f.name == option)
    return field.default if field.default_factory is MISSING else field.default_factory()


def stated(text: str) -> Any:
    """Return the value that a page's words stand for: a literal, or none of ours."""
    try:
        return ast.literal_eval(text.strip("`").replace(",", "_"))
    except (SyntaxError, ValueError):
        return None


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_page_names_the_options_of_an_environment(environment: str) -> None:
    named = [name for names, _, _ in rows(environment) for name in names]
    assert sorted(named) == sorted(ENVIRONMENTS[environment])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_page_says_what_each_option_is_by_default(environment: str) -> None:
    for names, said, remark in rows(environment):
        if "as in `local`" in remark:
            continue
        values = said.split(", ") if ", " in said else [said] * len(names)
        for name, value in zip(names, values, strict=True):
            actual, expected = default_of(environment, name), stated(value)
            if isinstance(expected, str) and isinstance(actual, int):
                expected = byte_count(name, expected)
            assert expected == (actual or (False if actual is False else None)), name
