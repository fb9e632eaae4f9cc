"""Whatever a model, its code or a user's data says, the notebook shows it and does nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import nbformat
import pytest
from hostile import PAYLOADS, harm
from nbconvert import HTMLExporter, MarkdownExporter
from story import Story, failure, stdout

from rlm.formats.notebook.markdown import model_text
from rlm.formats.notebook.read import read_notebook
from rlm.formats.notebook.write import notebook_bytes
from rlm.trajectory import Trajectory, TrajectoryError, event_to_dict

SAFE_MIMES = {"text/plain", "image/png", "image/jpeg", "text/html"}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


def to_notebook(trajectory: Trajectory) -> nbformat.NotebookNode:
    content = notebook_bytes(trajectory).decode()
    return nbformat.reads(content, as_version=4)  # type: ignore[no-untyped-call,no-any-return]


def a_hostile_run(text: str) -> Story:
    """Let every part of a run say the same."""
    bundle = {"text/plain": text, "text/html": text, "image/png": text, "image/svg+xml": text}
    more = {"text/markdown": text, "application/javascript": text, "text/latex": text}
    outputs: list[dict[str, Any]] = [
        stdout(text),
        failure(text, text),
        {"output_type": "display_data", "data": bundle | more, "metadata": {"image/png": text}},
        {"output_type": "execute_result", "data": more, "metadata": {}, "execution_count": 1},
        {"output_type": text, "name": text, "text": text},
    ]
    config = {"environment_type": text, "backend": text}
    story = Story()
    with (
        story.run(question=text, answer=text, model=text, config=config),
        story.turn(f"{text}\n\n# {text}\n```repl\nx\n```\n{text}", final=text),
        story.cell(f"'''{text}'''", *outputs),
    ):
        with story.call(text, text, model=text):
            pass
        with story.call(text, text, error=text, kind="tool", model=text):
            pass
        with (
            story.call(text, text, kind="rlm", model=text),
            story.run(question=text, answer=text, error={"type": text, "message": text}),
            story.turn(text),
            story.cell(text, *outputs),
        ):
            pass
        story.note(text)
    return story


def rendered(content: bytes) -> str:
    """Return what nbconvert makes of the cells, without the page around them."""
    notebook = nbformat.reads(content.decode(), as_version=4)  # type: ignore[no-untyped-call]
    exporter = HTMLExporter(template_name="basic")  # type: ignore[no-untyped-call]
    body: str = exporter.from_notebook_node(notebook)[0]
    return body


def harm_in_cells(html: str) -> list[str]:
    """Return what is harmful beside what nbconvert writes itself around every cell."""
    own = re.compile(r"""<\w+ (?:class=|id=|tabindex=|href=['"]\#)""")
    return [found for found in harm(html) if not own.match(found)]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_hostile_text_stays_text_in_every_place(payload: str) -> None:
    content = notebook_bytes(Trajectory.from_events(a_hostile_run(payload).events))
    notebook = json.loads(content)
    nbformat.validate(notebook)
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            assert set(output.get("data", ())) <= SAFE_MIMES
            assert harm("".join(output.get("data", {}).get("text/html", ""))) == []
    # The code is what runs: an editor marks what is odd in it.
    seen = [found for found in harm_in_cells(rendered(content)) if "'''" not in found]
    assert seen == []
    found = read_notebook(content).trajectory.events
    assert found == tuple(a_hostile_run(payload).events)


def test_the_table_of_contents_is_ours_alone() -> None:
    text = "# one\n\n## two\n\nthree\n===\n\nfour\n---\n\n   ### five ###\n\n<h1>six</h1>"
    notebook = to_notebook(Trajectory.from_events(a_hostile_run(text).events))
    headings = [
        line
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in outside_fences(cell.source)
        if line.lstrip(" ").startswith("#") or set(line.strip()) in ({"="}, {"-"})
    ]
    assert [line.split(" ")[0] for line in headings] == ["#", "##", "###", "####"]


def outside_fences(text: str) -> list[str]:
    lines, inside = [], False
    for line in text.split("\n"):
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            lines.append(line)
    return lines


def test_an_image_and_a_table_of_the_root_are_shown_as_they_are() -> None:
    table = "<table><tr><td>1</td></tr></table>"
    data = {"image/png": PIXEL, "text/plain": "<Figure>", "text/html": table}
    story = Story()
    with (
        story.run(),
        story.turn(),
        story.cell("plot()", {"output_type": "display_data", "data": data, "metadata": {}}),
    ):
        pass
    content = notebook_bytes(Trajectory.from_events(story.events))
    (output,) = json.loads(content)["cells"][2]["outputs"]
    assert output["data"]["image/png"] == PIXEL
    assert "<td>1</td>" in output["data"]["text/html"]
    assert content.count(PIXEL.encode()) == 2, "once to be seen, once in the record"
    assert read_notebook(content).trajectory.events == tuple(story.events)


def test_a_widget_is_kept_as_text_and_shown_as_a_line() -> None:
    mime = "application/vnd.jupyter.widget-view+json"
    widget = {"output_type": "display_data", "data": {mime: {"model_id": "1"}}, "metadata": {}}
    story = Story()
    with story.run(), story.turn(), story.cell("w", widget):
        pass
    content = notebook_bytes(Trajectory.from_events(story.events))
    (output,) = json.loads(content)["cells"][2]["outputs"]
    assert output["data"] == {"text/plain": f"[{mime}]"}
    assert read_notebook(content).trajectory.events == tuple(story.events)


def test_plain_nbconvert_takes_a_notebook() -> None:
    story = a_hostile_run("some **words** and $x$ <b>")
    notebook = to_notebook(Trajectory.from_events(story.events))
    page = HTMLExporter().from_notebook_node(notebook)[0]  # type: ignore[no-untyped-call]
    assert "some <strong>words</strong>" in page
    text = MarkdownExporter().from_notebook_node(notebook)[0]  # type: ignore[no-untyped-call]
    assert "some **words**" in text


def test_a_long_line_of_blanks_is_written_fast() -> None:
    for line in ("# a" + " " * 19_000 + "x", "# a" + " " * 9_000 + "#" * 9_000 + "x"):
        assert model_text(line).startswith("**a ")


def with_record(events: list[str]) -> bytes:
    """Return a run's notebook whose record is forged: count and hash are right."""
    story = Story()
    with story.run():
        pass
    notebook = json.loads(notebook_bytes(Trajectory.from_events(story.events)))
    digest = hashlib.sha256("".join(f"{event}\n" for event in events).encode())
    notebook["metadata"]["rlm"].update(
        events=[events], count=str(len(events)), sha256=digest.hexdigest()
    )
    return json.dumps(notebook).encode()


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ("[" * 100_000, "Event 0 of the record is nested too deeply"),
        ('{"type": ' * 5_000 + "1" + "}" * 5_000, "Event 0 of the record"),
        ("{", "Event 0 of the record is not JSON"),
        ("", "Event 0 of the record is not JSON"),
        ("9" * 10_000, "Event 0 of the record"),
        ("[]", "Event 0 of the record: An event is an object"),
        ('{"type": "x"}', "Event 0 of the record: Unknown event type"),
        ('{"type": "run_started"}', "Event 0 of the record: .* lacks"),
    ],
)
def test_a_malformed_event_is_refused_with_its_number(event: str, error: str) -> None:
    with pytest.raises(TrajectoryError, match=error):
        read_notebook(with_record([event]))


def test_a_value_nested_beyond_what_a_run_records_is_refused() -> None:
    story = Story()
    deep: Any = "x"
    for _ in range(300):
        deep = [deep]
    with story.run(config={"deep": deep}):
        pass
    text = json.dumps(event_to_dict(story.events[0]))
    with pytest.raises(TrajectoryError, match="nested more than 200 levels"):
        read_notebook(with_record([text]))


def test_what_is_read_is_no_larger_than_the_file() -> None:
    story = Story()
    with story.run():
        for _ in range(20_000):
            story.note("x")
    texts = [json.dumps(event_to_dict(event)) for event in story.events]
    content = with_record(texts)
    found = read_notebook(content).trajectory
    assert len(found) == len(texts)
    again = sum(len(json.dumps(event_to_dict(event))) for event in found.events)
    assert again <= len(content)


def test_very_many_cells_without_marks_are_read_fast() -> None:
    story = Story()
    with story.run():
        for number in range(1, 501):
            with story.turn(number=number), story.cell("x = 1"):
                pass
    notebook = json.loads(notebook_bytes(Trajectory.from_events(story.events)))
    cell = {"cell_type": "code", "source": "x = 2", "outputs": [], "metadata": {}}
    notebook["cells"] = [{**cell, "execution_count": None} for _ in range(30_000)]
    assert read_notebook(json.dumps(notebook).encode()).edited == ()


@pytest.mark.parametrize("odd", [[], {}, None, 1])
def test_an_output_that_no_kernel_sends_is_shown_as_text(odd: object) -> None:
    outputs: list[dict[str, Any]] = [
        {"output_type": odd, "text": "x"},
        {"output_type": "stream", "name": odd, "text": "x"},
    ]
    story = Story()
    with story.run(), story.turn(), story.cell("x", *outputs):
        pass
    content = notebook_bytes(Trajectory.from_events(story.events))
    nbformat.validate(json.loads(content))
    assert read_notebook(content).trajectory.events == tuple(story.events)
