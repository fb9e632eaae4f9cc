from __future__ import annotations

import base64
import re

import pytest
from hostile import a_hostile_story, harm
from story import Story, a_whole_story, stdout

from rlm.render.page import fragment, page
from rlm.trajectory import Trajectory

BOTH = pytest.mark.parametrize("render", [page, fragment])
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()


def whole() -> Trajectory:
    return Trajectory.from_events(a_whole_story().events)


@BOTH
def test_the_answer_comes_first_with_why_it_ended(render: object) -> None:
    html = text(render, whole())
    assert html.index("Who is the narrator?") < html.index("answered") < html.index("Ishmael")
    assert html.index("Ishmael") < html.index("turn 1/30")
    assert "19 sub-calls" in html
    assert "$0.0046" in html


@BOTH
def test_every_node_is_there(render: object) -> None:
    html = text(render, whole())
    for part in (
        "llm_query x 16",
        "1 failed: 429 too many requests",
        "Part 15",
        "find",
        "rlm_query",
        "The child looks.",
        "leaf",
        "ValueError",
        "The kernel died and was restarted.",
        "Call me Ishmael",
        "You have a REPL.",
    ):
        assert part in html, part


@BOTH
def test_a_run_without_events_is_shown(render: object) -> None:
    assert "no run yet" in text(render, Trajectory())


@BOTH
def test_every_prefix_of_a_run_can_be_shown(render: object) -> None:
    events = a_whole_story().events
    for end in range(len(events)):
        assert harm_of(text(render, Trajectory.from_events(events[:end]))) == []


@BOTH
def test_hostile_text_everywhere_does_nothing(render: object) -> None:
    html = text(render, Trajectory.from_events(a_hostile_story().events))
    assert harm_of(html) == []
    assert "evil.example/pixel.png" in html  # shown, not loaded


def test_a_fragment_has_inline_styles_only() -> None:
    html = fragment(whole())
    assert html.count("class=") == html.count('class="mathjax_ignore"') == 1
    assert "var(" not in html
    assert "<style" not in html


def test_a_page_is_whole_and_may_load_nothing() -> None:
    html = page(whole())
    assert html.startswith("<!doctype html>")
    assert "default-src 'none'" in html
    assert "prefers-color-scheme: dark" in html
    assert "http://" not in html
    assert "https://" not in html


def test_tables_and_pictures_of_a_cell_are_shown() -> None:
    story = Story()
    table = "<table><tr><td>1</td></tr></table>"
    with (
        story.run(),
        story.turn(),
        story.cell(
            "df",
            {"output_type": "execute_result", "data": {"text/html": table, "text/plain": "x"}},
            {"output_type": "display_data", "data": {"image/png": PNG, "text/plain": "<Figure>"}},
            {"output_type": "display_data", "data": {"application/javascript": "alert(1)"}},
            {"output_type": "display_data", "data": "no bundle"},
            {"output_type": "stream"},
            {},
        ),
    ):
        pass
    html = fragment(Trajectory.from_events(story.events))
    assert "<td>1</td>" in html
    assert f"data:image/png;base64,{PNG}" in html
    assert "[application/javascript]" in html
    assert "alert" not in html


def test_long_texts_are_cut_with_a_note() -> None:
    story = Story()
    with (
        story.run(answer="a" * 100_000),
        story.turn("r" * 100_000),
        story.cell("c = 1\n" * 30_000, stdout("first" + "o" * 1_000_000 + "last")),
        story.call("p" * 100_000, "q" * 100_000),
    ):
        pass
    trajectory = Trajectory.from_events(story.events)
    assert len(fragment(trajectory)) < 100_000
    html = page(trajectory)
    assert len(html) < 600_000
    assert "more characters" in html
    assert re.search(r"first.*last", html, re.DOTALL)


def test_ten_thousand_sub_calls_stay_small() -> None:
    story = Story()
    with story.run(), story.turn(), story.cell():
        for number in range(10_000):
            with story.call("p" * 500, "q" * 500, error="no" if number == 9_999 else None):
                pass
    html = fragment(Trajectory.from_events(story.events))
    assert "llm_query x 10,000" in html
    assert "more, in the trajectory itself" in html
    assert html.count("failed") >= 2  # what failed is among those shown
    assert len(html) < 1_000_000


def test_deep_nesting_of_children_is_cut() -> None:
    story = Story()
    opened = []
    for _ in range(200):
        for block in (story.run(), story.turn(), story.cell(), story.call("go", kind="rlm")):
            block.__enter__()
            opened.append(block)
    for block in reversed(opened):
        block.__exit__(None, None, None)
    html = page(Trajectory.from_events(story.events))
    assert "its turns are in the trajectory itself" in html


def text(render: object, trajectory: Trajectory) -> str:
    assert callable(render)
    html = render(trajectory)
    assert isinstance(html, str)
    html.encode()  # no lone surrogate
    return html


def harm_of(html: str) -> list[str]:
    """Return what is harmful in what we wrote, our own frame and style left out."""
    body = html.partition("<main>")[2].rpartition("</main>")[0] if "<main>" in html else html
    return harm(body)
