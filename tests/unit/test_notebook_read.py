"""Notebooks that came back other than they went: only a changed record is an error."""

from __future__ import annotations

import copy
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from story import Story, a_whole_story, stdout

from rlm.formats.notebook.read import read_notebook, read_notebook_file
from rlm.formats.notebook.write import notebook_bytes
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
        (b'{"cells": [], "nbformat": 4, "metadata": {"rlm": {"schema": 3}}}', "schema 3.* A newer"),
        (
            b'{"cells": [], "nbformat": 4, "metadata": {"rlm": {"schema": 0}}}',
            "schema 0.* An older",
        ),
        (b'{"cells": [], "nbformat": 4, "metadata": {"rlm": {"schema": true}}}', "It was changed"),
        (b'{"cells": [], "nbformat": 4, "metadata": {"rlm": {"schema": "x"}}}', "schema 'x'"),
        (b'{"cells": [], "nbformat": 4, "metadata": {"rlm": {"schema": 1}}}', "rlm convert OLD"),
        (b'{"cells": [], "nbformat": 4, "metadata": {"rlm": {"schema": 2}}}', "not a run's"),
        (
            b'{"cells": [7], "nbformat": 4, "metadata": {"rlm": {"schema": 2}}}',
            "Cell 1 is no object",
        ),
    ],
)
def test_a_notebook_without_a_run_says_so(content: bytes, error: str) -> None:
    with pytest.raises(TrajectoryError, match=error):
        read_notebook(content)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda rlm: rlm.update(count="62"), "has 61 events and should have '62': nbmerge"),
        (lambda rlm: rlm.update(count=61), "has 61 events and should have 61: nbmerge"),
        (lambda rlm: rlm.pop("count"), "should have None: nbmerge"),
        (lambda rlm: rlm["events"][0].pop(), "has 60 events and should have '61': nbmerge"),
        (lambda rlm: rlm["events"][0].append(rlm["events"][0][0]), "has 62 events"),
        (lambda rlm: rlm["events"][0].reverse(), "hash is wrong.* nbmerge"),
        (lambda rlm: rlm.pop("sha256"), "hash is wrong"),
        (lambda rlm: rlm.update(sha256=7), "hash is wrong"),
        (lambda rlm: rlm["events"][0].__setitem__(5, "{}"), "hash is wrong"),
        (lambda rlm: rlm["events"].append("{}"), "no lists of strings"),
        (lambda rlm: rlm.update(events="[]"), "no lists of strings"),
        (lambda rlm: rlm["events"][0].__setitem__(5, {}), "not every event is a string"),
        (lambda rlm: rlm.update({"nbdime-conflicts": {}}), "'nbdime-conflicts': nbmerge"),
        (lambda rlm: rlm.pop("events"), "no record of it: jupytext's text form, nbdev-clean"),
        (lambda rlm: rlm.clear(), "no record of it: jupytext's text form, nbdev-clean"),
    ],
)
def test_a_changed_record_is_refused_in_one_sentence(
    change: Callable[[dict[str, Any]], object], error: str
) -> None:
    with pytest.raises(TrajectoryError, match=error) as raised:
        read_notebook(changed(lambda nb: change(nb["metadata"]["rlm"])))
    assert str(raised.value).count(". ") == 0


def test_a_merge_conflict_next_to_the_record_is_refused() -> None:
    with pytest.raises(TrajectoryError, match="nbmerge"):
        read_notebook(changed(lambda nb: nb["metadata"].update({"nbdime-conflicts": {}})))


@pytest.mark.parametrize(
    "mark",
    [
        {"id": "turn-1"},
        {"metadata": {"rlm": {"node": "r-2"}}},
        {"metadata": {"tags": ["rlm-turn"]}},
        {"source": "# hello\nfrom rlm_kernel.guest.restore import restore\n"},
        {"source": ["from rlm_kernel.inside.restored import restore\n"]},
    ],
)
def test_cells_show_that_there_was_a_record(mark: dict[str, Any]) -> None:
    cell = {"cell_type": "code", "metadata": {}, "source": "", "outputs": [], **mark}
    notebook = {"cells": [cell], "nbformat": 4, "metadata": {}}
    with pytest.raises(TrajectoryError, match="no record of it"):
        read_notebook(json.dumps(notebook).encode())
    cell.update(id="0", metadata={"tags": ["mine"]}, source="from rlm import RLM")
    with pytest.raises(TrajectoryError, match="not a run's"):
        read_notebook(json.dumps(notebook).encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda cells: cells.pop(CODE),
        lambda cells: cells.pop(0),
        lambda cells: cells.clear(),
        lambda cells: cells.reverse(),
        lambda cells: cells.append(copy.deepcopy(cells[CODE])),
        lambda cells: cells.append({**copy.deepcopy(cells[CODE]), "id": "copy"}),
        lambda cells: cells[CODE].update(id="other"),
        lambda cells: cells[CODE].pop("id"),
        lambda cells: cells[CODE]["metadata"].clear(),
        lambda cells: cells[CODE].update(outputs=[stdout("42\n")], execution_count=9),
        lambda cells: cells[CODE].update(outputs=[], execution_count=None),
        lambda cells: cells[CODE].update(outputs=[7]),
        lambda cells: cells[CODE].update(source=[*cells[CODE]["source"], "\n\n"]),
        lambda cells: cells[0].update(source="My own words."),
    ],
)
def test_changes_to_cells_change_neither_the_record_nor_the_code(
    change: Callable[[list[dict[str, Any]]], object],
) -> None:
    found = read_notebook(changed(lambda nb: change(nb["cells"])))
    assert found.trajectory.events == EVENTS
    assert found.edited == ()


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
    path.write_bytes(changed(lambda nb: nb["metadata"]["rlm"].pop("count")))
    with pytest.raises(TrajectoryError, match=r"run\.ipynb: .*should have"):
        load(path)


def test_a_file_that_is_being_saved_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.ipynb"
    path.write_bytes(b"")

    def save() -> None:
        # As jupyter_server does it: emptied, and rewritten in place.
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(CONTENT), 5_000):
                file.write(CONTENT[start : start + 5_000])
                threading.Event().wait(0.1)

    saving = threading.Thread(target=save)
    saving.start()
    try:
        assert load(path).events == EVENTS
        assert read_notebook_file(path).edited == ()
    finally:
        saving.join()


def test_a_file_that_stays_incomplete_is_refused_soon(tmp_path: Path) -> None:
    path = tmp_path / "run.ipynb"
    path.write_bytes(CONTENT[:10_000])
    with pytest.raises(TrajectoryError, match="only the beginning"):
        load(path)


def test_cells_that_somebody_added_do_no_harm() -> None:
    def add(notebook: dict[str, Any]) -> None:
        note = {"cell_type": "markdown", "id": "mine", "metadata": {}, "source": ["My thoughts."]}
        code = {**note, "cell_type": "code", "outputs": [], "execution_count": None}
        notebook["cells"][1:1] = [note]
        notebook["cells"].append({**code, "id": "mine2"})

    assert read_notebook(changed(add)).trajectory.events == EVENTS


def test_an_edited_cell_is_reported_and_the_record_stays_what_was_executed() -> None:
    found = read_notebook(changed(lambda nb: nb["cells"][CODE].update(source="print(2)")))
    assert found.trajectory.events == EVENTS
    (edited,) = found.edited
    assert (edited.position, edited.code) == (CODE + 1, "print(2)")
    assert edited.id == EVENTS[3].id
    assert read_notebook(CONTENT).edited == ()


def edit(notebook: dict[str, Any], code: str = "print(2)") -> None:
    notebook["cells"][CODE]["source"] = code


def strip_ids(notebook: dict[str, Any]) -> None:
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = str(number)


def strip_metadata(notebook: dict[str, Any]) -> None:
    for cell in notebook["cells"]:
        cell["metadata"] = {}


@pytest.mark.parametrize(
    "strip",
    [
        strip_ids,
        strip_metadata,
        lambda nb: [cell.pop("id") for cell in nb["cells"]],
        lambda nb: (strip_ids(nb), strip_metadata(nb)),
        lambda nb: (strip_ids(nb), strip_metadata(nb), nb["cells"].pop(0)),
    ],
)
def test_an_edit_is_found_by_id_by_metadata_and_by_order(
    strip: Callable[[dict[str, Any]], object],
) -> None:
    def change(notebook: dict[str, Any]) -> None:
        edit(notebook)
        strip(notebook)

    found = read_notebook(changed(change))
    assert [(cell.id, cell.code) for cell in found.edited] == [(EVENTS[3].id, "print(2)")]


def test_an_edited_cell_that_was_moved_is_still_found() -> None:
    def change(notebook: dict[str, Any]) -> None:
        edit(notebook)
        notebook["cells"].append(notebook["cells"].pop(CODE))

    (edited,) = read_notebook(changed(change)).edited
    assert (edited.id, edited.position) == (EVENTS[3].id, len(json.loads(CONTENT)["cells"]))


def test_of_a_copied_cell_the_one_with_the_id_counts() -> None:
    def change(notebook: dict[str, Any]) -> None:
        copied = copy.deepcopy(notebook["cells"][CODE])
        notebook["cells"].insert(0, {**copied, "id": "copy", "source": "mine = 1"})

    assert read_notebook(changed(change)).edited == ()


def test_a_pasted_cell_of_another_run_is_no_edit() -> None:
    def change(notebook: dict[str, Any]) -> None:
        del notebook["cells"][CODE]
        cell = {"cell_type": "code", "id": "new", "source": "theirs", "outputs": []}
        notebook["cells"].append({**cell, "metadata": {"rlm": {"node": "another-run's"}}})

    assert read_notebook(changed(change)).edited == ()


def test_without_marks_cells_that_somebody_added_are_no_edits() -> None:
    def change(notebook: dict[str, Any]) -> None:
        strip_ids(notebook)
        strip_metadata(notebook)
        mine = {"cell_type": "code", "id": "m", "metadata": {}, "outputs": [], "source": "mine"}
        notebook["cells"].insert(0, mine)
        notebook["cells"].append({**mine, "id": "m2"})

    assert read_notebook(changed(change)).edited == ()


def test_an_edit_is_carried_by_the_text_that_a_browser_saves() -> None:
    story = Story()
    with story.run(), story.turn(), story.cell("a = 1\r\nb = 2"):
        pass
    notebook = json.loads(notebook_bytes(Trajectory.from_events(story.events)))
    notebook["cells"][CODE]["source"] = "a = 1\nb = 2"
    assert read_notebook(json.dumps(notebook).encode()).edited == ()
    notebook["cells"][CODE]["source"] = "a = 1\nb = 3"
    assert len(read_notebook(json.dumps(notebook).encode()).edited) == 1


@pytest.mark.parametrize("status", ["timeout", "died", "interrupted"])
def test_a_block_that_is_only_shown_cannot_be_edited(status: str) -> None:
    story = Story()
    with story.run(), story.turn(), story.cell("boom()", status=status):
        pass
    notebook = json.loads(notebook_bytes(Trajectory.from_events(story.events)))
    notebook["cells"][CODE]["source"] = "nothing"
    assert read_notebook(json.dumps(notebook).encode()).edited == ()
