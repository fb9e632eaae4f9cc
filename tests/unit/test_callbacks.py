"""The reference's callbacks are called as the reference says."""

from __future__ import annotations

from typing import Any

from story import Story, a_whole_story

from rlm.logger import CallbackReader


def heard(story: Story) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []
    reader = CallbackReader(
        on_subcall_start=lambda *args: calls.append(("subcall start", *args)),
        on_subcall_complete=lambda *args: calls.append(("subcall complete", *args)),
        on_iteration_start=lambda *args: calls.append(("iteration start", *args)),
        on_iteration_complete=lambda *args: calls.append(("iteration complete", *args)),
    )
    for event in story.events:
        reader.on_event(event)
    return calls


def test_callbacks_get_turns_and_children_with_their_depth_but_no_plain_calls() -> None:
    assert heard(a_whole_story()) == [
        ("iteration start", 0, 1),
        ("iteration complete", 0, 1, 2.5),
        ("iteration start", 0, 2),
        ("subcall start", 1, "gpt-5-mini", "Read chapter 1"),
        ("iteration start", 1, 1),
        ("iteration complete", 1, 1, 2.5),
        ("subcall complete", 1, "gpt-5-mini", 0.4, None),
        ("iteration complete", 0, 2, 2.5),
    ]


def test_callbacks_get_short_previews_and_errors() -> None:
    story = Story()
    with (
        story.run(),
        story.turn(),
        story.cell(),
        story.call("x" * 500, "Error: no", kind="rlm", error="no"),
    ):
        pass
    _, start, complete, _ = heard(story)
    assert start == ("subcall start", 1, "gpt-5-nano", "x" * 80)
    assert complete == ("subcall complete", 1, "gpt-5-nano", 0.4, "no")


def test_callbacks_that_were_not_given_are_not_called() -> None:
    reader = CallbackReader()
    for event in a_whole_story().events:
        reader.on_event(event)
