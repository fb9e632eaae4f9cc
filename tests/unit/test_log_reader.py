"""Logs are read, ours and the reference's, and come out as they went in."""

from __future__ import annotations

import copy
import json
import math
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from story import CONFIG, Story, a_whole_story, failure, stdout

from rlm.events import TurnStarted
from rlm.formats.jsonl.read import from_jsonl
from rlm.formats.jsonl.write import log_lines
from rlm.trajectory import Trajectory, TrajectoryError, load, load_log

REFERENCE = Path(__file__).parents[1] / "data" / "reference_log.jsonl"
"""Written by rlms 0.1.3: three turns, an error, plain calls, and a child."""

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "rlm-log.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SECRET = "sk-" + "planted" * 5


def read(content: bytes) -> Trajectory:
    return from_jsonl(content, Path("run.jsonl"))


def written(trajectory: Trajectory, **options: Any) -> bytes:
    assert trajectory.root is not None
    return b"".join(log_lines(trajectory.root, **options))


def log_of(story: Story, **options: Any) -> bytes:
    return written(Trajectory.from_events(story.events), **options)


def entries(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def without_copies(value: Any) -> Any:
    """Return JSON values in which every variable named context is only that."""
    if isinstance(value, list):
        return [without_copies(item) for item in value]
    if isinstance(value, dict):
        return {
            key: "context" if key in {"context", "context_0"} else without_copies(item)
            for key, item in value.items()
        }
    return value


def a_story_with_a_picture() -> Story:
    """Tell a run whose model was sent an image (`show_images=True`)."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    seen = [{"type": "text", "text": "REPL output:\n<Figure>"}, image]
    story = Story()
    with story.run(answer="A line."):
        with story.turn(), story.cell("plot()"):
            pass
        with story.turn("It is a line.", number=2, messages=({"role": "user", "content": seen},)):
            pass
        with story.turn("Sure.", number=3, kept=1):
            pass
    return story


def test_the_text_of_a_message_with_an_image_is_text_and_its_parts_stay() -> None:
    story = a_story_with_a_picture()
    content = log_of(story)
    entry = entries(content)[2]
    VALIDATOR.validate(entry)
    (message,) = entry["prompt"]
    assert message["content"] == "REPL output:\n<Figure>\n[image/png]", "a list breaks viewers"
    sent = [event.messages for event in story.events if isinstance(event, TurnStarted)]
    events = read(content).events
    assert [event.messages for event in events if isinstance(event, TurnStarted)] == sent


def test_a_log_with_a_list_for_content_is_still_read() -> None:
    lines = entries(log_of(a_story_with_a_picture()))
    for line in lines:
        for message in line.get("prompt", ()):
            message["content"] = message.pop("content_parts", message["content"])
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    assert entries(written(read(content))) == lines


@pytest.mark.parametrize("prompts", ["full", "delta"])
@pytest.mark.parametrize("story", [a_whole_story, a_story_with_a_picture])
def test_our_log_comes_out_byte_by_byte(story: Any, prompts: str) -> None:
    content = log_of(story(), prompts=prompts)
    assert written(read(content)) == content
    assert written(Trajectory.from_dict(read(content).to_dict())) == content


@pytest.mark.parametrize("name", ["reference", "ours", "delta"])
def test_a_log_comes_out_of_a_notebook_as_it_was(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    logs = {
        "reference": written(load(REFERENCE)),
        "ours": log_of(a_whole_story()),
        "delta": log_of(a_whole_story(), prompts="delta"),
    }
    path.write_bytes(logs[name])
    notebook = load(path).save(tmp_path / "run.ipynb")
    again = load(notebook).save(tmp_path / "again.jsonl")
    assert again.read_bytes() == path.read_bytes()


def test_a_log_cut_anywhere_between_lines_comes_out_too() -> None:
    for events in (a_whole_story().events[:end] for end in range(1, 60)):
        content = written(Trajectory.from_events(events))
        assert written(read(content)) == content


def test_every_way_a_cell_can_end_comes_out() -> None:
    story = Story()
    with story.run(), story.turn():
        for status in ("ok", "error", "interrupted", "timeout", "died"):
            cell = story.cell("x", stdout("a\n"), failure(), status=status)
            with cell, story.call("p", "", kind="rlm", error="no"):
                pass
    content = log_of(story)
    trajectory = read(content)
    assert written(trajectory) == content
    assert trajectory.root is not None
    assert [cell.finished and cell.finished.status for cell in trajectory.root.cells] == [
        "error",
        "error",
        "interrupted",
        "timeout",
        "died",
    ]


def test_setup_code_comes_out_where_it_was() -> None:
    story = Story()
    config = {**CONFIG, "environment_kwargs": {"setup_code": "llm_query('hi')"}}
    with story.run(config=config):
        with story.call("hi", "hello"):
            pass
        with story.turn(), story.cell():
            pass
    content = log_of(story)
    trajectory = read(content)
    assert written(trajectory) == content
    assert trajectory.root is not None
    assert len(trajectory.root.setup_calls) == 1


def test_a_log_of_the_reference_comes_out_with_its_context_described() -> None:
    original = REFERENCE.read_bytes()
    content = written(load(REFERENCE))
    assert without_copies(entries(content)) == without_copies(entries(original))
    assert content.count(b"I went to sea") < original.count(b"I went to sea")
    for entry in [*entries(original), *entries(content)]:
        VALIDATOR.validate(entry)


def test_a_log_of_the_reference_is_a_run_like_ours() -> None:
    trajectory = load(REFERENCE)
    root = trajectory.root
    assert root is not None
    assert root.started.root_prompt == "Who is the narrator?"
    assert root.started.context["description"] == "a str of 395 characters"
    assert root.started.context["value"].startswith("Call me Ishmael")
    assert root.answer == "a whale"
    assert [len(turn.cells) for turn in root.turns] == [1, 2, 1]
    assert root.cells[0].finished is not None
    assert root.cells[0].finished.status == "error"
    assert trajectory.counts["children"] == 1
    assert root.children[0].answer == "a whale"
    assert root.turns[1].messages[-1]["role"] == "user"
    times = [event.time for event in trajectory.events]
    assert times[0] == min(times)


def test_our_log_says_what_the_context_was() -> None:
    root = read(log_of(a_whole_story())).root
    assert root is not None
    assert root.started.context == {
        "type": "str",
        "length": 10_485_760,
        "description": "a str of 10,485,760 characters",
        "preview": "",
    }


def test_the_same_log_gives_the_same_events() -> None:
    assert load(REFERENCE).events == load(REFERENCE).events


def test_fields_of_another_writer_are_kept() -> None:
    lines = entries(log_of(a_whole_story()))
    lines[0]["writer"] = {"name": "newer", "numbers": [1, 2.5, None, True]}
    lines[1]["reasoning"] = "hm"
    result = lines[2]["code_blocks"][0]["result"]
    result["gpu"] = 0.5
    result["rlm_calls"][3]["trace"] = ["x"]
    result["rlm_calls"][16]["metadata"]["iterations"][0]["more"] = 1
    lines[2]["final_answer"] = ["final", "Ishmael"]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    assert entries(written(read(content))) == lines


def test_secrets_of_a_log_are_left_out() -> None:
    lines = entries(REFERENCE.read_bytes())
    lines[0]["api_key"] = SECRET
    lines[0]["backend_kwargs"]["api_key"] = SECRET
    child = lines[2]["code_blocks"][0]["result"]["rlm_calls"][3]
    child["metadata"]["run_metadata"]["backend_kwargs"] = {"default_headers": {"x": SECRET}}
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    trajectory = read(content)
    assert SECRET not in json.dumps(trajectory.to_dict())
    assert SECRET.encode() not in written(trajectory)


def test_runs_that_share_a_log_are_read_each(tmp_path: Path) -> None:
    first, second = log_of(a_whole_story("a")), log_of(a_whole_story("b"))
    lines = [*first.splitlines(keepends=True), *second.splitlines(keepends=True)]
    path = tmp_path / "shared.jsonl"
    path.write_bytes(b"".join(lines[n] for n in (0, 3, 1, 4, 5, 2)))
    with pytest.raises(TrajectoryError, match=r"shared\.jsonl: The log holds 2 runs"):
        load(path)
    assert [written(trajectory) for trajectory in load_log(path)] == [first, second]


def test_a_persistent_run_of_the_reference_starts_again_at_iteration_1(tmp_path: Path) -> None:
    lines = REFERENCE.read_bytes().splitlines(keepends=True)
    path = tmp_path / "persistent.jsonl"
    path.write_bytes(b"".join([*lines, *lines[1:]]))
    assert [len(each.root.turns) for each in load_log(path) if each.root] == [3, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[1:], "Line 1 is an iteration of a run whose metadata line is missing"),
        (lambda _: [], "no metadata line"),
        (lambda _: ["[1]"], "Line 1 is not an object"),
        (lambda lines: [*lines, '{"type": "iteration", "it'], "Line 4 is not JSON: it was cut off"),
        (lambda lines: ["{", *lines], "Line 1 is not JSON"),
        (lambda lines: ["[" * 100_000, *lines], "Line 1 is not JSON"),
        (lambda _: ['{"type": "nonsense"}'], "Line 1: type is 'nonsense'"),
        (
            lambda lines: [lines[0], without(lines[1], "response")],
            "Line 2 lacks the field response",
        ),
        (
            lambda lines: [lines[0], with_(lines[1], "iteration", "one")],
            "Line 2: iteration is 'one', not a number",
        ),
        (
            lambda lines: [lines[0], with_(lines[1], "timestamp", "yesterday")],
            "Line 2: timestamp is 'yesterday', not a time",
        ),
        (lambda lines: [with_(lines[0], "timestamp", "")], "Line 1: timestamp is '', not a time"),
        (
            lambda lines: [lines[0], with_(lines[1], "iteration_time", math.nan)],
            "Line 2: iteration_time is nan, which is out of range",
        ),
        (
            lambda lines: [lines[0], with_(lines[1], "timestamp", "9999-12-31T00:00:00")],
            "timestamps out of range",
        ),
        (
            lambda lines: [lines[0], with_(lines[1], "timestamp", "")],
            "Line 2: timestamp is '', not a time",
        ),
        (
            lambda lines: [lines[0], with_(lines[1], "code_blocks", [{"code": "x"}])],
            r"Line 2: code_blocks\[0\] lacks the field result",
        ),
        (
            lambda lines: [lines[0], with_(lines[1], "prompt", ["hi"])],
            r"Line 2: prompt\[0\] is not an object",
        ),
        (
            lambda lines: [with_(lines[0], "backend_kwargs", "x")],
            "Line 1: backend_kwargs is 'x', not an object or null",
        ),
    ],
)
def test_a_file_that_is_no_log_is_refused_with_its_line(
    change: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(change(log_of(a_whole_story()).decode().splitlines())))
    with pytest.raises(TrajectoryError, match=rf"bad\.jsonl: .*{message}"):
        load(path)


def test_a_child_that_is_wrong_is_named(tmp_path: Path) -> None:
    lines = entries(REFERENCE.read_bytes())
    child = lines[2]["code_blocks"][0]["result"]["rlm_calls"][3]["metadata"]
    child["iterations"][1]["code_blocks"][0]["result"]["stdout"] = None
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    place = (
        r"Line 3: code_blocks\[0\]\.result\.rlm_calls\[3\]\.metadata\.iterations\[1\]: "
        r"code_blocks\[0\]\.result: stdout is None"
    )
    with pytest.raises(TrajectoryError, match=place):
        load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
LOGS = (
    entries(REFERENCE.read_bytes()),
    entries(log_of(a_whole_story())),
    entries(log_of(a_story_with_a_picture())),
)


def change_something(value: Any, data: st.DataObject) -> None:
    """Set one thing, somewhere in JSON values, to another or to something new."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    keys += ["new"] if isinstance(value, dict) else []
    if not keys:
        return
    key = data.draw(st.sampled_from(keys))
    inside = None if key == "new" else value[key]
    if isinstance(inside, dict | list) and data.draw(st.integers(0, 3)):
        change_something(inside, data)
    else:
        value[key] = data.draw(JSON)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_a_log_changed_anywhere_comes_out_or_is_refused(data: st.DataObject) -> None:
    lines: list[dict[str, Any]] = copy.deepcopy(data.draw(st.sampled_from(LOGS)))
    for _ in range(data.draw(st.integers(1, 4))):
        change_something(data.draw(st.sampled_from(lines)), data)
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    try:
        trajectory = read(content)
    except TrajectoryError as error:
        assert re.match(r"Line \d|The log holds|There is no metadata", str(error))  # noqa: PT017
        return
    assert without_copies(entries(written(trajectory))) == without_copies(lines)
    assert Trajectory.from_dict(trajectory.to_dict()).events == trajectory.events


def without(line: str, name: str) -> str:
    return json.dumps({key: value for key, value in json.loads(line).items() if key != name})


def with_(line: str, name: str, value: Any) -> str:
    return json.dumps({**json.loads(line), name: value})
