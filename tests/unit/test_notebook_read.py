"""Notebooks that came back other than they went: an error that names the cell, or no harm done."""

from __future__ import annotations

import copy
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from story import Story, a_whole_story, stdout

from rlm.formats.notebook import notebook_bytes, read_notebook
from rlm.trajectory import Trajectory, TrajectoryError, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVENTS = tuple(a_whole_story().events)
CONTENT = notebook_bytes(Trajectory.from_events(EVENTS))
CODE = 2
"""Index of the first code cell."""


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the notebook after somebody's hand."""
    notebook = json.loads(CONTENT)
    change(notebook)
    return json.dumps(notebook).encode()


def record(notebook: dict[str, Any], cell: int) -> dict[str, Any]:
    kept: dict[str, Any] = notebook["cells"][cell]["metadata"]["rlm"]
    return kept


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "empty"),
        (b"\n", "empty"),
        (CONTENT[:1000], "only the beginning"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON|too deeply"),
        (b"[]", "not a notebook"),
        (b'{"cells": {}}', "not a notebook"),
        (b'{"cells": [], "nbformat": 3}', "format 3"),
        (b'{"cells": [], "nbformat": 4, "metadata": {}}', "not a run's"),
        (b'{"cells": [], "nbformat": 4, "metadata": {"rlm": 1}}', "not a run's"),
        (b'{"cells": [], "nbformat": 4, "metadata": {"rlm": {"schema": 2}}}', "schema 2.* A newer"),
        (
            b'{"cells": [], "nbformat": 4, "metadata": {"rlm": {"schema": 0}}}',
            "schema 0.* An older",
        ),
        (b'{"cells": [], "nbformat": 4, "metadata": {"rlm": {"schema": true}}}', "It was changed"),
        (b'{"cells": [], "nbformat": 4, "metadata": {"rlm": {"schema": "x"}}}', "schema 'x'"),
        (b'{"cells": [], "nbformat": 4, "metadata": {"rlm": {"schema": 1}}}', "how many events"),
    ],
)
def test_what_is_no_run_is_said_to_be_none(content: bytes, error: str) -> None:
    with pytest.raises(TrajectoryError, match=error):
        read_notebook(content)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda nb: nb["cells"].pop(CODE), r"events are missing.* after cell 2 \(turn-1\)"),
        (lambda nb: nb["cells"].pop(0), "events are missing.* at the beginning"),
        (lambda nb: nb["cells"].pop(), r"events are missing.* after cell 9 \(cell-49\)"),
        (
            lambda nb: nb["cells"].append(copy.deepcopy(nb["cells"][CODE])),
            "Cell 11 .* there twice, also in cell 3. Was a cell copied",
        ),
        (
            lambda nb: nb["cells"].insert(0, nb["cells"].pop(CODE)),
            r"Cell 1 \(cell-3\) stands where the cell run-0 belongs. Were cells moved",
        ),
        (lambda nb: nb["cells"].reverse(), "Were cells moved"),
        (lambda nb: nb["cells"][CODE].update(id="other"), r"Cell 3 \(other\): event 3 belongs"),
        (lambda nb: nb["cells"].append(7), "Cell 11 is no object"),
        (lambda nb: nb["cells"][1].pop("source"), "Cell 2 has no source"),
        (lambda nb: record(nb, 1).update(events=5), "Cell 2 .* no list"),
        (lambda nb: record(nb, 1)["events"].append({"n": -1}), "Cell 2 .* without a number"),
        (lambda nb: record(nb, 1)["events"].append({"n": 999}), "Cell 2 .* none of this run's"),
        (lambda nb: record(nb, 1)["events"][0].pop("number"), "Cell 2 .* event 1: .* lacks number"),
        (lambda nb: record(nb, 1)["events"][0].update(type="?"), "Cell 2 .* Unknown event type"),
        (lambda nb: record(nb, 1)["events"][1].update(text=7), "Cell 2 .* text: expected"),
        (lambda nb: record(nb, 1)["events"][1].update(text={"$odd": 1}), "no form of a value"),
        (lambda nb: record(nb, 1)["events"][1].update(text={"$same": [1, "x"]}), "not there"),
        (lambda nb: record(nb, 1)["events"][1].update(text={"$same": [2, "text"]}), "never ends"),
        (lambda nb: record(nb, 1)["events"][1].update(text={"$join": [["x"]]}), "made of texts"),
        (lambda nb: record(nb, 1)["events"][1].update(text={"$part": [1]}), "cannot be read"),
        (lambda nb: record(nb, 1)["events"][1].update(text={"$escaped": "1"}), "Expected a str"),
        (
            lambda nb: nb["cells"][CODE]["outputs"][0].update(text="42\n"),
            r"Cell 3 \(cell-3\): its outputs .* changed by hand",
        ),
        (lambda nb: nb["cells"][CODE].update(outputs=[7]), "Cell 3 .* outputs cannot be read"),
    ],
)
def test_a_changed_notebook_is_refused_and_the_cell_named(
    change: Callable[[dict[str, Any]], object], error: str
) -> None:
    with pytest.raises(TrajectoryError, match=error):
        read_notebook(changed(change))


def test_text_that_repeats_itself_without_end_is_refused() -> None:
    def bomb(notebook: dict[str, Any]) -> None:
        named = ({"$same": [1, "messages", index, "content"]} for index in range(10))
        contents = ["x" * 1000, *({"$join": [part] * 10} for part in named)]
        messages = [{"role": "user", "content": content} for content in contents]
        record(notebook, 1)["events"][0]["messages"] = messages

    with pytest.raises(TrajectoryError, match=r"Cell 2 .* by repetition"):
        read_notebook(changed(bomb))


@settings(deadline=None)
@given(st.data())
def test_nothing_done_to_the_file_ends_in_another_error(data: st.DataObject) -> None:
    content = bytearray(CONTENT)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 60)))
        content[start:end] = data.draw(st.binary(max_size=8) | st.sampled_from([b"}", b'"', b"9"]))
    try:
        found = read_notebook(bytes(content))
    except TrajectoryError:
        return
    assert len(found.trajectory) == len(EVENTS)


def test_every_truncated_file_is_refused() -> None:
    for end in range(0, len(CONTENT.rstrip()), 97):
        with pytest.raises(TrajectoryError):
            read_notebook(CONTENT[:end])


def test_the_file_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "run.ipynb"
    path.write_bytes(changed(lambda nb: nb["cells"].pop(CODE)))
    with pytest.raises(TrajectoryError, match=r"run\.ipynb: .*missing"):
        load(path)


def test_cells_that_somebody_added_do_no_harm() -> None:
    def add(notebook: dict[str, Any]) -> None:
        note = {"cell_type": "markdown", "id": "mine", "metadata": {}, "source": ["My thoughts."]}
        code = {**note, "cell_type": "code", "outputs": [], "execution_count": None}
        notebook["cells"][1:1] = [note]
        notebook["cells"].append({**code, "id": "mine2"})

    assert read_notebook(changed(add)).trajectory.events == EVENTS


def test_an_edited_cell_is_told_and_the_record_stays_what_was_executed() -> None:
    found = read_notebook(changed(lambda nb: nb["cells"][CODE].update(source="print(2)")))
    assert found.trajectory.events == EVENTS
    (edited,) = found.edited
    assert (edited.position, edited.code) == (CODE + 1, "print(2)")
    assert edited.id == EVENTS[3].id
    assert read_notebook(CONTENT).edited == ()


def test_a_cell_that_was_run_again_is_told_and_has_its_new_outputs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def run_again(notebook: dict[str, Any]) -> None:
        notebook["cells"][CODE].update(execution_count=7, outputs=[stdout("new\n")])

    path = tmp_path / "run.ipynb"
    path.write_bytes(changed(run_again))
    found = read_notebook(path.read_bytes())
    assert found.run_again == (CODE + 1,)
    with caplog.at_level(logging.WARNING, "rlm"):
        cell = load(path).root.turns[0].cells[0]  # type: ignore[union-attr]
    assert cell.outputs == [stdout("new\n")]
    assert "run again" in caplog.text


def test_cleared_outputs_are_told_and_the_rest_is_there() -> None:
    def clear(notebook: dict[str, Any]) -> None:
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell.update(execution_count=None, outputs=[])

    found = read_notebook(changed(clear))
    assert len(found.run_again) == 2
    assert found.trajectory.counts == Trajectory.from_events(EVENTS).counts


def test_a_cell_run_again_with_the_same_outcome_is_the_same() -> None:
    def run_again(notebook: dict[str, Any]) -> None:
        notebook["cells"][CODE]["execution_count"] = 9

    found = read_notebook(changed(run_again))
    assert found.run_again == ()
    assert found.trajectory.events == EVENTS


def test_a_result_keeps_its_number_when_it_is_run_again() -> None:
    story = Story()
    result = {
        "output_type": "execute_result",
        "data": {"text/plain": "42"},
        "metadata": {},
        "execution_count": 3,
    }
    with story.run(), story.turn(), story.cell("6*7", result):
        pass
    notebook = json.loads(notebook_bytes(Trajectory.from_events(story.events)))
    notebook["cells"][CODE]["outputs"][0]["execution_count"] = 8
    found = read_notebook(json.dumps(notebook).encode())
    assert found.trajectory.events == tuple(story.events)
