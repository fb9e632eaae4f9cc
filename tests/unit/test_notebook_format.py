"""A run becomes a notebook and a run again: whatever happened in it, and whatever it said."""

from __future__ import annotations

import enum
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from story import Story, a_whole_story, failure, stdout
from test_trajectory import EVENTS

from rlm.formats.notebook.read import read_notebook
from rlm.formats.notebook.schema import notebook_schema
from rlm.formats.notebook.write import notebook_bytes
from rlm.trajectory import (
    Trajectory,
    TrajectoryError,
    event_from_dict,
    event_to_dict,
    load,
    redacted_event,
    save,
)

if TYPE_CHECKING:
    from rlm.events import Event


SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "rlm-notebook.schema.json").read_text(encoding="utf-8")
)
VALID = Draft202012Validator(SCHEMA)
VALID_EVENT = Draft202012Validator({"$ref": "#/$defs/event", "$defs": SCHEMA["$defs"]})


def to_notebook(trajectory: Trajectory) -> nbformat.NotebookNode:
    content = notebook_bytes(trajectory).decode()
    return nbformat.reads(content, as_version=4)  # type: ignore[no-untyped-call,no-any-return]


def validate(content: bytes) -> None:
    """Hold a notebook, and every event in its record, against the schemas."""
    notebook = json.loads(content)
    nbformat.validate(notebook)
    VALID.validate(notebook)
    for event in record(notebook):
        VALID_EVENT.validate(event)


def record(notebook: dict[str, Any]) -> list[Any]:
    return [json.loads(text) for group in notebook["metadata"]["rlm"]["events"] for text in group]


def again(events: list[Event]) -> tuple[Event, ...]:
    """Write events to a notebook and read it."""
    content = notebook_bytes(Trajectory.from_events(events))
    validate(content)
    return read_notebook(content).trajectory.events


def as_a_browser_saves(content: bytes) -> bytes:
    """Return a notebook as JupyterLab saves it: JavaScript's numbers, a terminal's streams."""

    def number(text: str) -> float:
        value = float(text)
        return int(value) if value.is_integer() else value

    notebook = json.loads(content, parse_float=number, parse_int=number)
    for output in (output for cell in notebook["cells"] for output in cell.get("outputs", [])):
        if output["output_type"] == "stream":
            output["text"] = re.sub("[^\n]*\r(?!\n)|\r|.?\b", "", output["text"])
    node = nbformat.from_dict(notebook)  # type: ignore[no-untyped-call]
    text: str = nbformat.writes(node)  # type: ignore[no-untyped-call]
    return text.encode()


@settings(deadline=None)
@given(EVENTS)
def test_any_events_survive_a_notebook(events: list[Event]) -> None:
    assert again(events) == tuple(events)


@settings(deadline=None)
@given(EVENTS)
def test_any_events_survive_a_browser_that_saves_the_notebook(events: list[Event]) -> None:
    content = notebook_bytes(Trajectory.from_events(events))
    assert read_notebook(as_a_browser_saves(content)).trajectory.events == tuple(events)


@settings(deadline=None, max_examples=25)
@given(st.permutations(a_whole_story().events), st.integers(0, 200))
def test_a_run_that_lost_or_shuffled_events_survives_too(events: list[Event], end: int) -> None:
    assert again(events[:end]) == tuple(events[:end])


def test_every_prefix_of_a_run_is_a_notebook() -> None:
    events = a_whole_story().events
    for end in range(len(events) + 1):
        content = notebook_bytes(Trajectory.from_events(events[:end]))
        nbformat.validate(json.loads(content))
        assert read_notebook(content).trajectory.events == tuple(events[:end])


HARD_TEXTS = st.sampled_from(
    [
        "\ud800",
        "\udc00 \ud83d",
        "a\rb\r\nc\bd",
        "\0",
        "\u2028\x85\x0b",
        "x" * 300,
        "$same",
        "{}",
        "```repl\nx\n```",
    ]
) | st.text(st.characters(), max_size=30)
HARD = st.recursive(
    HARD_TEXTS | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(HARD_TEXTS | st.sampled_from(["$x", "__proto__", "10", "9"]), inner)
    ),
    max_leaves=8,
)
OUTPUT = (
    st.builds(stdout, HARD_TEXTS)
    | st.builds(failure, HARD_TEXTS, HARD_TEXTS)
    | st.fixed_dictionaries(
        {
            "output_type": st.sampled_from(["display_data", "execute_result", "stream", "odd"]),
            "data": st.dictionaries(
                st.sampled_from(["text/plain", "text/html", "image/png", "application/json"]), HARD
            ),
            "metadata": st.just({}) | st.dictionaries(HARD_TEXTS, HARD, max_size=2),
        },
        optional={"execution_count": st.none() | st.integers(0, 9), "name": HARD_TEXTS},
    )
)


@settings(deadline=None)
@given(st.lists(OUTPUT, max_size=6), HARD, HARD_TEXTS, st.sampled_from(["ok", "error", "died"]))
def test_hostile_outputs_prompts_and_code_survive(
    outputs: list[dict[str, Any]], prompt: Any, code: str, status: str
) -> None:
    story = Story()
    with (
        story.run(question=code),
        story.turn(f"Look:\n```repl\n{code}\n```", messages=({"role": "user", "content": prompt},)),
        story.cell(code, *outputs, status=status),
        story.call(prompt, prompt),
    ):
        pass
    content = notebook_bytes(Trajectory.from_events(story.events))
    validate(content)
    assert read_notebook(content).trajectory.events == tuple(story.events)
    saved = as_a_browser_saves(content)
    assert read_notebook(saved).trajectory.events == tuple(story.events)


def test_numbers_that_json_does_not_have_survive() -> None:
    odd = [float("inf"), float("-inf"), -(1 << 80), 1e308, True, 0.1]
    story = Story()
    with story.run(), story.turn(), story.cell(), story.call(odd, odd):
        pass
    content = notebook_bytes(Trajectory.from_events(story.events))
    json.loads(content, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert again(story.events) == tuple(story.events)


class Priority(enum.IntEnum):
    """A number with a name."""

    HIGH = 2


class Odd(dict[Any, Any]):
    """A prompt of the user's own making."""


def test_a_value_that_is_not_json_does_not_stop_a_log() -> None:
    odd = Odd({"role": "user", "content": object, 7: (b"bytes", {1, 2}, Priority.HIGH)})
    story = Story()
    with story.run(), story.turn(messages=(odd,)), story.cell(), story.call(odd, {"a": {3: None}}):
        pass
    content = notebook_bytes(Trajectory.from_events(story.events))
    validate(content)
    found = read_notebook(content).trajectory
    assert len(found) == len(story.events)
    assert found.root is not None
    (message,) = found.root.turns[0].started.messages
    assert message["content"] == "<class 'object'>"
    assert message["7"][2] == 2


def test_a_saved_notebook_loads_as_the_same_trajectory(tmp_path: Path) -> None:
    trajectory = Trajectory.from_events(a_whole_story().events)
    path = save(trajectory, tmp_path / "run.ipynb")
    assert load(path).events == tuple(map(redacted_event, trajectory.events))


def test_the_cells_of_a_notebook_follow_the_tree() -> None:
    notebook = to_notebook(Trajectory.from_events(a_whole_story().events))
    headings = [
        line
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.split("\n")
        if line.startswith("#")
    ]
    assert headings == [
        "# Who is the narrator?",
        "## Turn 1",
        "## Turn 2",
        "### Child: Read chapter 1",
        "#### Turn 1",
    ]
    executable = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source.split("\n")[0] for cell in executable] == [
        "print(len(context))",
        "parts = [context[i:i+1000] for i in range(0, len(context), 1000)]",
    ]
    assert executable[0].outputs == [stdout("10485760\n"), failure()]
    assert executable[0].execution_count == 1
    assert "iopub.execute_input" in executable[0].metadata.execution
    children = [cell for cell in notebook.cells if "rlm-child" in cell.metadata.tags]
    assert {cell.cell_type for cell in children} == {"markdown"}


def test_the_head_is_a_table_of_what_the_run_was() -> None:
    head = to_notebook(Trajectory.from_events(a_whole_story().events)).cells[0].source
    for fact in (
        "| model | gpt-5-mini |",
        "| environment | local |",
        "| status | answered |",
        "| turns | 3 |",
        "| sub-calls | 19 |",
        "| children | 1 |",
        "| tokens | 5,200 in, 400 out |",
        r"| cost | \$0.0046 |",
        "| time | 12.5 s |",
    ):
        assert fact in head
    assert "**Answer**\n\nIshmael" in head


def test_the_prose_of_a_turn_does_not_repeat_its_code() -> None:
    notebook = to_notebook(Trajectory.from_events(a_whole_story().events))
    turn = next(cell for cell in notebook.cells if cell.source.startswith("## Turn 1"))
    assert "I look at it first." in turn.source
    assert "repl" not in turn.source


def test_few_calls_are_listed_and_many_are_grouped() -> None:
    story = Story()
    with story.run(), story.turn(), story.cell():
        for number in range(2_000):
            error = "429 too many requests" if number == 1_234 else None
            with story.call(f"part {number}", error=error):
                pass
    notebook = to_notebook(Trajectory.from_events(story.events))
    (calls,) = (cell for cell in notebook.cells if "rlm-calls" in cell.metadata.tags)
    assert "llm_query x 2,000" in calls.source
    assert "1 failed" in calls.source
    assert "| 1 | llm_query gpt-5-nano | part 0 |" in calls.source
    assert "| 1235 | llm_query gpt-5-nano | part 1234 | 429 too many requests |" in calls.source
    assert calls.source.count("\n") < 30


@pytest.mark.parametrize(
    ("status", "cell_type", "tag"),
    [("ok", "code", None), ("error", "code", "raises-exception"), ("timeout", "markdown", None)],
)
def test_run_all_gets_through_every_cell(status: str, cell_type: str, tag: str | None) -> None:
    story = Story()
    with story.run(), story.turn(), story.cell("boom()", stdout("x"), failure(), status=status):
        pass
    notebook = to_notebook(Trajectory.from_events(story.events))
    (cell,) = (cell for cell in notebook.cells if "boom()" in cell.source)
    assert cell.cell_type == cell_type
    assert tag is None or tag in cell.metadata.tags


def test_the_record_is_small_beside_what_it_records() -> None:
    prompt, reply = "a long system prompt " * 500, "I think about it at length. " * 500
    code = "print('a rather long line of code')\n" * 200
    shown = "what the cell wrote, as the model sees it\n" * 400
    text = f"{reply}\n```repl\n{code}```"
    story = Story()
    with story.run():
        with story.turn(text, messages=({"role": "system", "content": prompt},)):
            with story.cell(code.rstrip("\n"), stdout(shown)):
                pass
            story.events[-1] = replace(story.events[-1], shown=shown)  # type: ignore[call-arg]
        messages = (
            {"role": "assistant", "content": text},
            {"role": "user", "content": f"REPL output:\n{shown}\n\nREPL variables: []"},
        )
        with story.turn("done", number=2, kept=1, messages=messages), story.cell():
            pass
    content = notebook_bytes(Trajectory.from_events(story.events))
    # The record has each text as often as the events have it; the cells have it once more.
    recorded = sum(len(json.dumps(event_to_dict(event))) for event in story.events)
    visible = len(reply) + len(code) + len(shown)
    assert len(content) < 1.15 * recorded + visible + 10_000
    assert read_notebook(content).trajectory.events == tuple(story.events)


def test_the_file_grows_evenly_with_the_turns() -> None:
    def size(turns: int) -> int:
        story = Story()
        with story.run():
            for number in range(1, turns + 1):
                with story.turn(number=number), story.cell("print(1)", stdout("1\n" * 50)):
                    pass
        return len(notebook_bytes(Trajectory.from_events(story.events)))

    one, two = size(100), size(200)
    assert two < 2.05 * one


def test_the_file_does_not_grow_with_the_context() -> None:
    def size(length: int) -> int:
        events = a_whole_story().events
        first = events[0]
        context = {"type": "str", "length": length, "description": "", "preview": "x" * 200}
        events[0] = replace(first, context=context)  # type: ignore[call-arg]
        return len(notebook_bytes(Trajectory.from_events(events)))

    assert size(10**9) - size(10**3) < 20


def test_the_record_is_lists_of_strings_of_one_event_each() -> None:
    events = a_whole_story().events * 4
    notebook = to_notebook(Trajectory.from_events(a_whole_story().events))
    assert [event["type"] for event in record(notebook)] == [
        e.type for e in events[: len(events) // 4]
    ]
    notebook = to_notebook(Trajectory.from_events(events))
    groups = notebook.metadata.rlm.events
    assert [len(group) for group in groups] == [100, 100, len(events) - 200]
    assert all(type(text) is str for group in groups for text in group)
    assert notebook.metadata.rlm.schema == 2
    assert notebook.metadata.rlm.count == str(len(events))
    assert notebook.metadata.kernelspec.name == "rlm"


def test_outside_the_strings_the_metadata_has_no_number_but_the_schemas() -> None:
    def numbers(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [number for item in value.values() for number in numbers(item)]
        if isinstance(value, list):
            return [number for item in value for number in numbers(item)]
        return [value] if isinstance(value, int | float) else []

    notebook = json.loads(notebook_bytes(Trajectory.from_events(a_whole_story().events)))
    assert numbers(notebook["metadata"]) == [2]
    assert [numbers(cell["metadata"]) for cell in notebook["cells"]] == [[]] * len(
        notebook["cells"]
    )


def test_a_cell_names_its_node_by_its_id_and_in_its_metadata() -> None:
    events = a_whole_story().events
    notebook = to_notebook(Trajectory.from_events(events))
    for cell in notebook.cells:
        number = int(cell.id.rpartition("-")[2])
        named = {events[number].id, events[number].parent_id}
        assert cell.metadata.rlm.node in named
    assert notebook.cells[0].metadata.rlm.node == events[0].id


def test_a_file_that_ends_in_the_middle_of_a_group_is_read() -> None:
    for count in (0, 1, 99, 100, 101, 200):
        story = Story()
        with story.run(), story.turn(), story.cell():
            while len(story.events) < count:
                story.note("x")
        events = story.events[:count]
        assert again(events) == tuple(events)


def test_the_schema_in_the_docs_is_that_of_the_code() -> None:
    assert json.loads(json.dumps(notebook_schema())) == SCHEMA, "run: make docs"
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        lambda nb: nb["metadata"]["rlm"].pop("events"),
        lambda nb: nb["metadata"]["rlm"].pop("count"),
        lambda nb: nb["metadata"]["rlm"].update(count=61),
        lambda nb: nb["metadata"]["rlm"].update(sha256="x"),
        lambda nb: nb["metadata"]["rlm"]["events"].append("{}"),
        lambda nb: nb["metadata"]["rlm"]["events"][0].append({}),
        lambda nb: nb["cells"][0]["metadata"]["rlm"].update(kind="other"),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(change: Any) -> None:
    notebook = json.loads(notebook_bytes(Trajectory.from_events(a_whole_story().events)))
    VALID.validate(notebook)
    change(notebook)
    assert not VALID.is_valid(notebook)
    if "events" in notebook["metadata"]["rlm"] and "kind" not in str(notebook["cells"][0]):
        with pytest.raises(TrajectoryError):
            read_notebook(json.dumps(notebook).encode())


@pytest.mark.parametrize(
    "change",
    [
        lambda event: event.pop("model"),
        lambda event: event.update(odd=1),
        lambda event: event.update(depth="1"),
        lambda event: event.update(type="odd"),
    ],
)
def test_the_schema_refuses_the_events_that_the_reader_refuses(change: Any) -> None:
    event = event_to_dict(a_whole_story().events[0])
    VALID_EVENT.validate(event)
    change(event)
    assert not VALID_EVENT.is_valid(event)
    with pytest.raises(TrajectoryError):
        event_from_dict(event)
