"""docs/environments.md names every option of every environment, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rlm.core.environments import ENVIRONMENTS

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_page_names_the_options_of_an_environment(environment: str) -> None:
    _, _, section = PAGE.partition(f"\n## {environment}\n")
    section = section.partition("\n## ")[0]
    named = {
        option
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        for option in re.findall(r"`(\w+)`", row)
    }
    assert named - {"environment_kwargs"} == set(ENVIRONMENTS[environment])
