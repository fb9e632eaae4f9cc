"""Notebooks of format 1, which `rlm convert` alone reads: every event, or the cell is named."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from story import Story, failure, stdout

from rlm.cli import main
from rlm.events import RunStarted
from rlm.formats.notebook.format1 import is_format1, load_format1
from rlm.trajectory import Trajectory, TrajectoryError, load

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parents[1] / "data"
CONTENT = (DATA / "notebook_format1.ipynb.json").read_bytes()
EVENTS = load(DATA / "notebook_format1_events.json").events
CODE = 3
"""Index of the first code cell of the run."""


def read(content: bytes) -> Trajectory:
    return load_format1(content, Path("old.ipynb"))


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the notebook after somebody's hand."""
    notebook = json.loads(CONTENT)
    change(notebook)
    return json.dumps(notebook).encode()


def record(notebook: dict[str, Any], cell: int) -> dict[str, Any]:
    kept: dict[str, Any] = notebook["cells"][cell]["metadata"]["rlm"]
    return kept


def test_a_real_run_of_0_1_is_read() -> None:
    assert is_format1(CONTENT)
    assert read(CONTENT).events == EVENTS


def the_values() -> Story:
    """Tell the run of `notebook_format1_values.ipynb.json`: values that format 1 spelled out."""
    hard = ["\ud800", 1 << 60, 1.0, "a\r\nb", {"__proto__": 1, "10": 2, "9": 3}]
    hard += ["é\u2028", {"$same": [1, "x"]}, float("inf")]
    long = "a line that is written once and named elsewhere " * 10
    png = (
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
        "rkJggg=="
    )
    data = {"image/png": png, "text/html": "<b>x</b><script>", "text/plain": long}
    said = f"{long}\n```repl\nloop()\n```"
    story = Story()
    with story.run(question="Does it survive?", answer="Yes."):
        with (
            story.turn(said),
            story.cell(
                "loop()",
                stdout("10%\r50%\r100%\n"),
                stdout("more\n"),
                stdout("and more\n"),
                failure(),
                {"output_type": "display_data", "data": data, "metadata": {}},
            ),
            story.call(hard, hard),
        ):
            pass
        messages = (
            {"role": "assistant", "content": said},
            {"role": "user", "content": f"REPL output:\n{long}"},
        )
        with story.turn("done", number=2, kept=1, messages=messages):
            pass
    return story


def test_values_that_format_1_spelled_out_are_read() -> None:
    content = (DATA / "notebook_format1_values.ipynb.json").read_bytes()
    for form in ("$same", "$part", "$output", "$number", "$object", "$escaped"):
        assert f'"{form}"'.encode() in content
    assert read(content).events == tuple(the_values().events)


def test_only_convert_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.ipynb", tmp_path / "new.ipynb"
    old.write_bytes(CONTENT)
    with pytest.raises(TrajectoryError, match=r"format 1, .*`rlm convert OLD\.ipynb NEW\.ipynb`"):
        load(old)
    assert main(["show", str(old)]) != 0
    assert "rlm convert" in capsys.readouterr().err
    assert main(["convert", str(old), str(new)]) == 0
    assert load(new).events == EVENTS
    assert not is_format1(new.read_bytes())


def test_convert_says_which_file_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.ipynb"
    old.write_bytes(changed(lambda nb: nb["cells"].pop(CODE)))
    assert main(["convert", str(old), str(tmp_path / "new.ipynb")]) != 0
    assert "old.ipynb: " in (said := capsys.readouterr().err)
    assert "events are missing" in said


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"cells": [], "nbformat": 4}'])
def test_other_files_are_not_format_1(content: bytes) -> None:
    assert not is_format1(content)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda nb: nb["cells"].pop(CODE), r"events are missing.* after cell 3"),
        (lambda nb: nb["cells"].pop(0), "events are missing.* after the beginning"),
        (
            lambda nb: nb["cells"].append(copy.deepcopy(nb["cells"][CODE])),
            "there twice, also in cell 4. Was a cell copied",
        ),
        (lambda nb: nb["metadata"]["rlm"].pop("events"), "how many events"),
        (lambda nb: record(nb, 2).update(events=5), "Cell 3.* no list"),
        (lambda nb: record(nb, 2)["events"].append({"n": -1}), "Cell 3.* without a number"),
        (lambda nb: record(nb, 2)["events"].append({"n": 999}), "Cell 3.* none of this run's"),
        (lambda nb: record(nb, 2)["events"][0].pop("number"), "Cell 3.* event 1: .* lacks number"),
        (lambda nb: record(nb, 2)["events"][0].update(type="?"), "Cell 3.* Unknown event type"),
        (lambda nb: record(nb, 2)["events"][1].update(text=7), "Cell 3.* text: expected"),
        (lambda nb: record(nb, 2)["events"][1].update(text={"$odd": 1}), "no form of a value"),
        (lambda nb: record(nb, 2)["events"][1].update(text={"$same": [1, "x"]}), "not there"),
        (lambda nb: record(nb, 2)["events"][1].update(text={"$same": [2, "text"]}), "never ends"),
        (lambda nb: record(nb, 2)["events"][1].update(text={"$join": [["x"]]}), "Expected a text"),
        (lambda nb: record(nb, 2)["events"][1].update(text={"$part": [1]}), "cannot be read"),
        (lambda nb: record(nb, 2)["events"][1].update(text={"$escaped": "1"}), "Expected a str"),
        (
            lambda nb: nb["cells"][CODE]["outputs"][0].update(text="42\n"),
            r"Cell 4: its outputs .* changed by hand",
        ),
        (lambda nb: nb["cells"][CODE].update(outputs=[7]), "Cell 4.* outputs cannot be read"),
    ],
)
def test_a_changed_notebook_is_refused_and_the_cell_named(
    change: Callable[[dict[str, Any]], object], error: str
) -> None:
    with pytest.raises(TrajectoryError, match=error):
        read(changed(change))


def test_a_cell_that_was_run_again_is_reported_with_its_new_outputs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def run_again(notebook: dict[str, Any]) -> None:
        notebook["cells"][CODE].update(execution_count=7, outputs=[stdout("new\n")])

    with caplog.at_level(logging.WARNING, "rlm"):
        root = read(changed(run_again)).root
    assert root is not None
    assert root.turns[0].cells[0].outputs == [stdout("new\n")]
    assert "cells 4 were run again" in caplog.text


def test_a_cell_run_again_with_the_same_outcome_is_the_same() -> None:
    def run_again(notebook: dict[str, Any]) -> None:
        notebook["cells"][CODE]["execution_count"] = 9

    assert read(changed(run_again)).events == EVENTS


def test_text_that_repeats_itself_without_end_is_refused() -> None:
    def bomb(notebook: dict[str, Any]) -> None:
        named = ({"$same": [1, "messages", index, "content"]} for index in range(10))
        contents = ["x" * 1000, *({"$join": [part] * 10} for part in named)]
        messages = [{"role": "user", "content": content} for content in contents]
        record(notebook, 2)["events"][0]["messages"] = messages

    with pytest.raises(TrajectoryError, match=r"Cell 3.* by repetition"):
        read(changed(bomb))


@pytest.mark.parametrize("text", ["", "x" * 9])
def test_texts_that_double_in_a_notebook_are_read_fast(text: str) -> None:
    config: dict[str, Any] = {"0": text}
    for number in range(60):
        config[str(number + 1)] = {"$join": [{"$same": [0, "config", str(number)]}] * 2}
    content = changed(lambda nb: record(nb, 0)["events"][0].update(config=config))
    if text:
        with pytest.raises(TrajectoryError, match="by repetition"):
            read(content)
    else:
        started = read(content).events[0]
        assert isinstance(started, RunStarted)
        assert started.config["60"] == ""
