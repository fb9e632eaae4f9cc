"""What the tools that people use on notebooks leave of a run's: its record and edits, or an error.

`RLM_TEST_TOOLS_PYTHON` names the interpreter of an environment that has them; they stay out of ours
because they pin what they need.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from story import Story, a_whole_story, stdout

from rlm.formats.notebook.read import read_notebook, read_notebook_file
from rlm.formats.notebook.write import notebook_bytes
from rlm.trajectory import Trajectory, TrajectoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.events import Event

    Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.timeout(600)

STRIP_IDS = (
    "import nbformat; nb = nbformat.read('run.ipynb', 4); nb.nbformat_minor = 4;"
    "[cell.pop('id', None) for cell in nb.cells]; nbformat.write(nb, 'run.ipynb')"
)

COLLABORATE = (
    "import json; from jupyter_ydoc import YNotebook; from pathlib import Path; doc = YNotebook();"
    "doc.set(json.loads(Path('run.ipynb').read_text()));"
    "Path('run.ipynb').write_text(json.dumps(doc.get()))"
)

KEEPERS = {
    "nbstripout renumbers ids": ["nbstripout run.ipynb"],
    "nbstripout drops our cell metadata": [
        "nbstripout --extra-keys 'cell.metadata.rlm cell.metadata.tags' run.ipynb"
    ],
    "nb-clean drops cell metadata": ["nb-clean clean run.ipynb"],
    "nbformat 4.4 has no ids": [f'python -c "{STRIP_IDS}"'],
    "no mark is left": ["nb-clean clean run.ipynb", f'python -c "{STRIP_IDS}"'],
    "jupytext pairs": [
        "jupytext --set-formats ipynb,py:percent run.ipynb",
        "jupytext --sync run.ipynb",
    ],
    "jupytext updates": [
        "jupytext --to py:percent run.ipynb",
        "jupytext --to ipynb --update run.py",
    ],
    "nbconvert clears outputs": ["jupyter nbconvert --clear-output --inplace run.ipynb"],
    "papermill adds a parameter": ["papermill --prepare-only -p x 1 run.ipynb run.ipynb"],
    "collaboration": [f'python -c "{COLLABORATE}"'],
}

LOSERS = {
    "jupytext as text": [
        "jupytext --to py:percent run.ipynb",
        "rm run.ipynb",
        "jupytext --to ipynb run.py",
    ],
    "jupytext as Markdown": [
        "jupytext --to md run.ipynb",
        "rm run.ipynb",
        "jupytext --to ipynb run.md",
    ],
    "nbdev-clean": ["nbdev-clean --fname run.ipynb"],
    "ClearMetadata": [
        "jupyter nbconvert --ClearMetadataPreprocessor.enabled=True --inplace run.ipynb"
    ],
    "marimo": [
        "marimo convert run.ipynb -o run.py",
        "rm run.ipynb",
        "marimo export ipynb run.py -o run.ipynb",
    ],
}


@pytest.fixture
def run(tmp_path: Path, require: Callable[[object, str], None]) -> Run:
    """Run a shell command in the folder of `run.ipynb`, with the tools first on the PATH."""
    python = os.environ.get("RLM_TEST_TOOLS_PYTHON")
    require(python, "RLM_TEST_TOOLS_PYTHON, an interpreter with nbstripout, nbdime and others")
    assert python is not None
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"

    def call(command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return call


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a run's notebook in which the second block was edited."""
    path = tmp_path / "run.ipynb"
    notebook = json.loads(notebook_bytes(Trajectory.from_events(a_whole_story().events), path))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in code] == ["restore", "cell-3", "cell-10"]
    code[2]["source"] = ["parts = 'edited'"]
    path.write_text(json.dumps(notebook))
    return path


@pytest.mark.parametrize("commands", KEEPERS.values(), ids=KEEPERS)
def test_a_tool_leaves_the_record_and_the_edits(run: Run, path: Path, commands: list[str]) -> None:
    before = path.read_bytes()
    for command in commands:
        run(command)
    found = read_notebook_file(path)
    assert found.trajectory.events == tuple(a_whole_story().events)
    assert [cell.code for cell in found.edited] == ["parts = 'edited'"]
    assert path.read_bytes() != before


def test_ruff_format_leaves_the_record(run: Run, path: Path) -> None:
    run("ruff format run.ipynb")
    assert read_notebook_file(path).trajectory.events == tuple(a_whole_story().events)


@pytest.mark.parametrize("commands", LOSERS.values(), ids=LOSERS)
def test_a_tool_that_removes_the_record_is_named(
    run: Run, path: Path, commands: list[str], request: pytest.FixtureRequest
) -> None:
    for command in commands:
        run(command)
    with pytest.raises(TrajectoryError, match="no record of it") as error:
        read_notebook_file(path)
    assert request.node.callspec.id.split()[0] in str(error.value)


def a_run(name: str, turns: int) -> list[Event]:
    """Tell a run that begins like every other one and goes on in its own way."""
    story = Story()
    with story.run():
        for number in range(1, turns + 1):
            said = "the same" if number == 1 else f"{name} {number}"
            with story.turn(said, number=number), story.cell(f"print({said!r})", stdout(said)):
                pass
    return story.events


@pytest.mark.parametrize("turns", [2, 60])
def test_merged_records_are_refused(run: Run, tmp_path: Path, turns: int) -> None:
    for name, events in {
        "base": a_run("base", turns)[:8],
        "ours": a_run("ours", turns),
        "theirs": a_run("theirs", turns),
    }.items():
        content = notebook_bytes(Trajectory.from_events(events))
        (tmp_path / f"{name}.ipynb").write_bytes(content)
    run("nbmerge base.ipynb ours.ipynb theirs.ipynb --out run.ipynb", check=False)
    with pytest.raises(TrajectoryError, match="nbmerge"):
        read_notebook_file(tmp_path / "run.ipynb")


def test_a_merge_of_two_persons_edits_is_no_error(run: Run, tmp_path: Path, path: Path) -> None:
    base = json.loads(path.read_bytes())
    ours, theirs = copy.deepcopy(base), copy.deepcopy(base)
    code = [index for index, cell in enumerate(base["cells"]) if cell["cell_type"] == "code"]
    ours["cells"][code[1]]["source"] = "ours = 1"
    theirs["cells"][code[2]]["source"] = "theirs = 2"
    for name, notebook in {"base": base, "ours": ours, "theirs": theirs}.items():
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(notebook))
    run("nbmerge base.ipynb ours.ipynb theirs.ipynb --out run.ipynb")
    assert [cell.code for cell in read_notebook_file(path).edited] == ["ours = 1", "theirs = 2"]


def test_nbdime_compares_a_long_run_in_seconds(run: Run, tmp_path: Path) -> None:
    events = a_run("long", 600)
    pair: list[dict[str, Any]] = []
    for count in (len(events) - 500, len(events)):
        pair.append(json.loads(notebook_bytes(Trajectory.from_events(events[:count]))))
        pair[-1]["cells"] = pair[-1]["cells"][:3]  # The record is what is measured here.
    for name, notebook in zip(("old", "new"), pair, strict=True):
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(notebook))
    program = (
        "import time, nbformat; from nbdime import diff_notebooks;"
        "pair = [nbformat.read(name + '.ipynb', 4) for name in ('old', 'new')];"
        "began = time.process_time(); assert diff_notebooks(*pair);"
        "print(time.process_time() - began)"
    )
    assert float(run(f'python -c "{program}"').stdout.split()[-1]) < 2


def test_the_numbers_of_a_record_survive_what_rewrites_numbers(run: Run, tmp_path: Path) -> None:
    story = Story()
    with story.run(), story.turn(), story.cell():
        hard = [1 << 60, 1.0, 1e22, 0.1, -0.0, 1e-7, {"__proto__": 1}]
        with story.call(hard, hard):
            pass
    events = [replace(event, time=event.time + 0.1) for event in story.events]
    path = tmp_path / "run.ipynb"
    path.write_bytes(notebook_bytes(Trajectory.from_events(events)))
    run("ruff format run.ipynb")
    run(f'python -c "{COLLABORATE}"')
    assert read_notebook(path.read_bytes()).trajectory.events == tuple(events)
