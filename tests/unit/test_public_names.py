"""What is public stands in one list, can be imported, and says what its arguments mean."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "index.md"

OURS = ("rlm", "rlm_kernel", "rlm_ipython")


def listed() -> dict[str, list[str]]:
    """Return what the page of public names lists: module to names."""
    _, *sections = re.split(
        r"^## `([\w.]+)`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    return {
        module: re.findall(r"`(\w+)`", text.partition(").\n")[2])
        for module, text in zip(sections[::2], sections[1::2], strict=True)
    }


PUBLIC = listed()

OLD_PATHS = {
    "rlm.approval": "ask",
    "rlm.core.types": "RLMChatCompletion UsageSummary ModelUsageSummary",
    "rlm.logger": "RLMLogger",
    "rlm_kernel.inside.restored": "restore",
}
"""What users of the reference and of 0.1, or notebooks that they saved, import."""


@pytest.mark.parametrize("module", PUBLIC)
def test_the_page_lists_the_names_in_all(module: str) -> None:
    assert PUBLIC[module]
    assert sorted(PUBLIC[module]) == sorted(importlib.import_module(module).__all__)


def test_the_page_lists_the_main_modules() -> None:
    assert {"rlm", "rlm.logger", "rlm.events", "rlm.errors", "rlm.trajectory"} <= set(PUBLIC)


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_can_be_imported(module: str) -> None:
    for name in PUBLIC[module]:
        assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_module_holds_no_other_name_of_ours(module: str) -> None:
    there = importlib.import_module(module)
    # A module that only gathers names lists all it imports; one that defines them, all it defines.
    package = there.__spec__ is not None and there.__spec__.submodule_search_locations is not None
    for name, value in vars(there).items():
        home = getattr(value, "__module__", None) or ""
        ours = home.partition(".")[0] in OURS if package else home == module
        if ours and not name.startswith("_"):
            assert name in there.__all__, f"{name} of {module} is in no list: name it _{name}?"


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_says_what_its_arguments_mean(module: str) -> None:
    there = importlib.import_module(module)
    missing = {
        label: lacks
        for name in PUBLIC[module]
        for label, lacks in undocumented(name, getattr(there, name))
        if lacks
    }
    assert not missing


@pytest.mark.parametrize("module", OLD_PATHS)
def test_an_old_import_path_still_works(module: str) -> None:
    for name in OLD_PATHS[module].split():
        assert callable(getattr(importlib.import_module(module), name))


def test_old_names_are_the_new_objects() -> None:
    old = importlib.import_module
    assert old("rlm.approval").ask is old("rlm.api.approval").ask
    assert old("rlm.core.types").UsageSummary is old("rlm.usage").UsageSummary
    assert old("rlm_kernel.inside.restored").restore is old("rlm_kernel.guest.restore").restore


def test_a_missing_argument_is_found() -> None:
    def half_said(said: int, unsaid: int) -> None:
        """Do a thing.

        Args:
            said: A number.
        """

    assert dict(undocumented("half_said", half_said)) == {"half_said": {"unsaid"}}


def undocumented(name: str, value: object) -> Iterator[tuple[str, set[str]]]:
    """Yield each function and class of ours in `value`, with what its docstring leaves out."""
    if isinstance(value, FunctionType):
        yield name, _unsaid(value, value.__doc__, "Args")
    elif inspect.isclass(value) and not typing.get_origin(value):
        # Only the class's own methods and docstring: others belong to the class above it
        yield name, _unsaid_fields(value)
        for own, member in vars(value).items():
            function = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if isinstance(function, FunctionType) and not own.startswith("_"):
                yield f"{name}.{own}", _unsaid(function, function.__doc__, "Args")


def _unsaid_fields(cls: type) -> set[str]:
    doc = cls.__dict__.get("__doc__")
    if dataclasses.is_dataclass(cls):
        own = {field.name for field in dataclasses.fields(cls)} & set(cls.__annotations__)
        public = {name for name in own if not name.startswith("_")}
        return (public - _names(doc, "Attributes")) if doc else {"a docstring"}
    constructor = cls.__dict__.get("__init__")
    if not isinstance(constructor, FunctionType):
        return set() if doc else {"a docstring"}
    # An attribute of the same name says what the argument is
    return _unsaid(constructor, doc, "Args", "Attributes") - _names(constructor.__doc__, "Args")


def _unsaid(function: FunctionType, doc: str | None, *sections: str) -> set[str]:
    if not doc:
        return {"a docstring"}
    return set(inspect.signature(function).parameters) - {"self", "cls"} - _names(doc, *sections)


def _names(doc: str | None, *sections: str) -> set[str]:
    """Return the names that these sections of a Google-style docstring explain."""
    names: set[str] = set()
    section = ""
    for line in inspect.cleandoc(doc or "").splitlines():
        if line and not line.startswith(" "):
            section = line.removesuffix(":")
        elif section in sections and (said := re.match(r" {4}([\w*, ]+):", line)):
            names |= {name.strip(" *") for name in said[1].split(",")}
    return names
