"""The notebook log, told events by hand: what is in its file after each of them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from story import Story, a_whole_story

from rlm.formats.notebook.read import read_notebook
from rlm.formats.notebook.sidecar import new_file
from rlm.logger import Delivery, NotebookLog, RLMLogger
from rlm.trajectory import redacted_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.events import Event


def kept(path: Path | None) -> tuple[Event, ...]:
    assert path is not None
    return read_notebook(path.read_bytes()).trajectory.events


def test_after_every_event_the_file_is_the_run_up_to_some_event(tmp_path: Path) -> None:
    log = NotebookLog(tmp_path)
    events = tuple(map(redacted_event, a_whole_story().events))
    for event in events:
        log.on_event(event)
        found = kept(log.path)
        assert found == events[: len(found)]
        assert found
    assert kept(log.path) == events
    assert log.path is not None
    nbformat.validate(nbformat.read(log.path, as_version=4))  # type: ignore[no-untyped-call]


@pytest.mark.filterwarnings("error")
def test_another_reader_of_the_same_run_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events = a_whole_story().events
    for number in range(20):
        log = NotebookLog(tmp_path / str(number))
        delivery = Delivery([log, RLMLogger()])  # In a burst, its tree is ahead of the notebook.
        for event in events:
            delivery.emit(event)
        assert delivery.flush(60)
        delivery.close()
        log.close()
        assert kept(log.path) == tuple(map(redacted_event, events))
    assert caplog.text == ""


def test_waiting_events_are_written_soon_without_another_event(tmp_path: Path) -> None:
    log = NotebookLog(tmp_path)
    events = tuple(map(redacted_event, a_whole_story().events[:10]))
    for event in events:
        log.on_event(event)
    wait_for(lambda: kept(log.path) == events)


def test_waiting_events_are_written_when_the_log_is_closed(tmp_path: Path) -> None:
    log = NotebookLog(tmp_path)
    events = tuple(map(redacted_event, a_whole_story().events[:10]))
    for event in events:
        log.on_event(event)
    log.close()
    assert kept(log.path) == events


def test_the_restoring_cell_is_the_first_code_cell_once_the_run_is_over(tmp_path: Path) -> None:
    log = NotebookLog(tmp_path)
    for event in a_whole_story().events:
        log.on_event(event)
    assert log.path is not None
    cells = nbformat.read(log.path, as_version=4).cells  # type: ignore[no-untyped-call]
    first = next(cell for cell in cells if cell.cell_type == "code")
    assert "rlm-restore" in first.metadata.tags
    assert first.metadata.jupyter.source_hidden


@pytest.mark.parametrize(
    ("question", "slug"),
    [
        ("Who is the narrator?", "who-is-the-narrator"),
        ("Größe / Höhe: ../../etc?", "größe-höhe-etc"),
        ("是谁?", "是谁"),
        ("?!", "run"),
        (None, "run"),
        ("x" * 500, "x" * 40),
    ],
)
def test_a_notebook_is_named_after_its_question(
    tmp_path: Path, question: str | None, slug: str
) -> None:
    log = NotebookLog(tmp_path)
    story = Story()
    with story.run(question=question):
        pass
    for event in story.events:
        log.on_event(event)
    assert log.path is not None
    assert log.path.parent == tmp_path
    assert log.path.name.rsplit("_", 3)[0] == slug
    assert kept(log.path)


def test_interleaved_runs_have_a_file_each(tmp_path: Path) -> None:
    log = NotebookLog(tmp_path)
    first, second = a_whole_story("a").events, a_whole_story("b").events
    for pair in zip(first, second, strict=True):
        for event in pair:
            log.on_event(event)
    contents = sorted((kept(path) for path in tmp_path.glob("*.ipynb")), key=lambda run: run[0].id)
    assert contents == [tuple(map(redacted_event, run)) for run in (first, second)]


def test_an_existing_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run_1.ipynb"
    path.write_text("another's")
    ours = new_file(path, [b"ours"])
    assert path.read_text() == "another's"
    assert ours.read_text() == "ours"
    assert ours.name.startswith("run_")
    assert sorted(tmp_path.iterdir()) == sorted([path, ours])


def test_a_forked_child_leaves_its_parents_notebook_alone(tmp_path: Path) -> None:
    log = NotebookLog(tmp_path)
    events = a_whole_story().events
    for event in events[:10]:
        log.on_event(event)
    child = os.fork()
    if not child:
        log.on_event(events[10])  # Of a run whose beginning the child never saw.
        for event in a_whole_story("child").events:
            log.on_event(event)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    for event in events[10:]:
        log.on_event(event)
    assert kept(log.path) == tuple(map(redacted_event, events))
    assert len(list(tmp_path.glob("*.ipynb"))) == 2


def test_a_log_stays_in_its_folder_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    log = NotebookLog("runs")
    (tmp_path / "elsewhere").mkdir()
    for event in a_whole_story().events:
        log.on_event(event)
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert log.path is not None
    assert log.path.parent == tmp_path / "runs"
    assert len(list(tmp_path.rglob("*.ipynb"))) == 1


def test_a_log_says_where_it_writes(tmp_path: Path) -> None:
    assert repr(NotebookLog(tmp_path)) == f"NotebookLog({str(tmp_path)!r})"


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something has happened that nobody tells of."""
    pause = threading.Event()
    for _ in range(1_000):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail("it never happened")
