"""The notebooks say what they say when they are executed now: times, ids and tokens aside."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
IN_CONTAINERS = "5-docker-and-modal"


def execute() -> Any:
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    module, path = execute(), FOLDER / f"{name}.ipynb"
    committed: Any = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(committed)
    assert module.said(module.executed(path)) == module.said(committed), (
        f"outputs differ; `python notebooks/execute.py notebooks/{path.name}` writes new ones"
    )


def test_all_seven_notebooks_exist() -> None:
    assert [name[0] for name in NOTEBOOKS] == list("1234567")


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name != IN_CONTAINERS])
def test_a_notebook_s_outputs_are_those_it_shows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(name, tmp_path, monkeypatch)


def test_the_container_notebooks_outputs_are_those_it_shows(
    docker: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(IN_CONTAINERS, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_says_that_no_model_answers_and_names_no_key(name: str) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text()
    assert "a stand-in with a fixed script answers" in text
    assert "widget-view" not in text  # what is saved shows without widgets
    assert "/root" not in text
    assert "/work" not in text
