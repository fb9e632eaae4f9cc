"""`.view()` in a notebook: the viewer, and HTML that stays when it is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nbclient
import nbformat
import pytest
from hostile import a_hostile_story, harm
from story import a_whole_story

from rlm.trajectory import Trajectory

if TYPE_CHECKING:
    from pathlib import Path

SHOW = "from rlm import Trajectory\nTrajectory.load('run.json').view()"
NO_WIDGETS = "import sys; sys.modules['anywidget'] = None\n"


def outputs(folder: Path, code: str) -> list[dict[str, Any]]:
    """Run a cell in a notebook's kernel and return what it displayed."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])  # type: ignore[no-untyped-call]
    client = nbclient.NotebookClient(
        book,
        kernel_name="python3",
        timeout=60,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    client.execute()
    return [dict(output.data) for output in book.cells[0].outputs]


@pytest.mark.parametrize("story", [a_whole_story, a_hostile_story])
def test_a_run_is_shown_in_the_viewer_with_html_beneath(story: Any, tmp_path: Path) -> None:
    Trajectory.from_events(story().events).save(tmp_path / "run.json")
    viewer, kept = outputs(tmp_path, SHOW)
    assert "application/vnd.jupyter.widget-view+json" in viewer
    assert kept.keys() == {"text/html", "text/plain"}
    assert kept["text/html"].startswith("<details><summary>")
    assert harm(kept["text/html"]) == []


def test_without_widgets_the_html_alone_is_shown(tmp_path: Path) -> None:
    Trajectory.from_events(a_whole_story().events).save(tmp_path / "run.json")
    (kept,) = outputs(tmp_path, NO_WIDGETS + SHOW)
    assert "Who is the narrator?" in kept["text/html"]
    assert kept["text/plain"].startswith("answered · 3 turns")
