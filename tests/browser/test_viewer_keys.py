"""The viewer by the keyboard, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from story import Story, a_whole_story, failure
from viewer_page import ViewerPage, many, whole

from rlm.trajectory import Trajectory

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page


def test_keys_move_in_the_tree_as_aria_says(viewer: ViewerPage) -> None:
    viewer.show(whole())
    press = viewer.page.keyboard.press
    viewer.row("run").click()
    press("ArrowDown")
    assert viewer.selected.startswith("turn 1")
    press("ArrowLeft")
    assert viewer.row("turn 1").get_attribute("aria-expanded") == "false"
    press("ArrowLeft")
    assert viewer.selected.startswith("run")
    press("End")
    assert viewer.selected.startswith("restart")
    press("Home")
    for _ in range(3):  # to turn 1, open it, into it
        press("ArrowRight")
    assert viewer.selected.startswith("cell")
    tabbable = viewer.page.locator("[role=treeitem][tabindex='0']")
    assert tabbable.count() == 1
    assert viewer.page.evaluate("document.activeElement.tabIndex") == 0
    press("*")
    press("Enter")
    assert viewer.page.evaluate("document.activeElement.className").startswith("rlm-detail")
    press("Escape")
    assert viewer.page.evaluate("document.activeElement.getAttribute('role')") == "treeitem"


def test_no_key_press_reaches_the_page(viewer: ViewerPage) -> None:
    viewer.show(whole())
    viewer.page.evaluate(
        "() => { window.heard = []; addEventListener('keydown', e => heard.push(e.key)); }"
    )
    viewer.row("turn 1").click()
    for key in ("d", "d", "a", "b", "x", "ArrowDown", "Enter", "Escape"):
        viewer.page.keyboard.press(key)
    viewer.page.get_by_role("searchbox").fill("a")
    viewer.page.keyboard.press("d")
    assert viewer.page.evaluate("heard") == []
    assert viewer.page.locator(".rlm-viewer").get_attribute("data-lm-suppress-shortcuts") == "true"


def test_e_goes_from_failure_to_failure(viewer: ViewerPage) -> None:
    story = Story()
    with story.run():
        for number in range(1, 4):
            status = "error" if number != 2 else "ok"
            with story.turn(number=number), story.cell(f"cell_{number}", failure(), status=status):
                pass
    viewer.show(Trajectory.from_events(story.events))
    viewer.row("turn 1").click()
    viewer.page.keyboard.press("e")
    assert viewer.selected.startswith("cell, cell_1, failed")
    viewer.page.keyboard.press("e")
    assert viewer.selected.startswith("cell, cell_3, failed")
    viewer.page.keyboard.press("e")
    assert viewer.selected.startswith("cell, cell_1")
    viewer.page.keyboard.press("Shift+E")
    assert viewer.selected.startswith("cell, cell_3")


def test_the_stepper_steps_through_the_turns(viewer: ViewerPage) -> None:
    viewer.show(many(6, cells=3))
    viewer.page.get_by_role("button", name="Film").click()
    viewer.settle()
    assert viewer.selected.startswith("turn 1")
    assert viewer.row("turn 2").count() == 0
    viewer.page.keyboard.press("ArrowRight")
    viewer.settle()
    assert viewer.selected.startswith("turn 2")
    assert "turn 2 of 3" in viewer.rendered()
    viewer.page.keyboard.press("End")
    viewer.settle()
    assert viewer.selected.startswith("turn 3")
    viewer.page.get_by_role("button", name="Film").click()
    viewer.settle()
    assert viewer.row("turn 3").count() == 1


def test_a_run_is_followed_until_the_person_scrolls(viewer: ViewerPage) -> None:
    events = a_whole_story().events
    growing = Trajectory()
    viewer.show(growing)
    for event in events[:30]:
        growing.add(event)
    viewer.pump()
    assert "running" in viewer.rendered()
    assert viewer.selected.startswith("cell")
    follow = viewer.page.get_by_role("button", name="Follow")
    assert follow.get_attribute("aria-pressed") == "true"
    viewer.page.locator(".rlm-tree").hover()
    viewer.page.mouse.wheel(0, -50)
    viewer.settle()
    assert follow.get_attribute("aria-pressed") == "false"
    viewer.row("turn 1").click()
    for event in events[30:-1]:
        growing.add(event)
    viewer.pump()
    assert viewer.selected.startswith("turn 1")
    growing.add(events[-1])
    viewer.pump()
    assert not follow.is_visible()


@pytest.mark.parametrize("key", ["ArrowUp", "PageUp", "Home"])
def test_a_run_is_followed_until_a_key_moves_in_the_tree(viewer: ViewerPage, key: str) -> None:
    viewer.show(Trajectory.from_events(a_whole_story().events[:30]))
    follow = viewer.page.get_by_role("button", name="Follow")
    assert follow.get_attribute("aria-pressed") == "true"
    viewer.page.locator("[role=treeitem][tabindex='0']").focus()
    assert follow.get_attribute("aria-pressed") == "true"
    viewer.page.keyboard.press(key)
    assert follow.get_attribute("aria-pressed") == "false"


def test_f_stops_following_a_run_and_follows_it_again(viewer: ViewerPage) -> None:
    viewer.show(Trajectory.from_events(a_whole_story().events[:30]))
    follow = viewer.page.get_by_role("button", name="Follow")
    viewer.page.locator("[role=treeitem][tabindex='0']").focus()
    viewer.page.keyboard.press("f")
    assert follow.get_attribute("aria-pressed") == "false"
    viewer.page.keyboard.press("f")
    assert follow.get_attribute("aria-pressed") == "true"


def test_a_slash_goes_to_the_search_and_is_not_typed_there(viewer: ViewerPage) -> None:
    viewer.show(whole())
    viewer.row("turn 1").click()
    viewer.page.keyboard.press("/")
    viewer.page.keyboard.type("f/t")
    search = viewer.page.get_by_role("searchbox")
    assert search.input_value() == "f/t"
    assert search.evaluate("input => input === document.activeElement")
    assert not viewer.page.locator(".rlm-timeline").is_visible()


def test_t_and_m_open_and_close_the_timeline_and_the_stepper(viewer: ViewerPage) -> None:
    viewer.show(whole())
    viewer.row("turn 1").click()
    for key, part in (("t", ".rlm-timeline"), ("m", ".rlm-stepper")):
        viewer.page.keyboard.press(key)
        assert viewer.page.locator(part).is_visible()
        viewer.page.keyboard.press(key)
        assert not viewer.page.locator(part).is_visible()


def test_arrow_keys_go_from_turn_to_turn_of_two_runs(page: Page, tmp_path: Path) -> None:
    viewer = ViewerPage(page)
    viewer.open(tmp_path, _compared=True)
    viewer.show(many(6, cells=3))
    viewer.show(many(3, cells=3), track=1)
    turns = page.get_by_role("option")
    turns.first.click()
    for key, expected in (
        *(("ArrowDown", 1), ("ArrowRight", 2), ("ArrowDown", 2), ("ArrowUp", 1)),
        *(("ArrowLeft", 0), ("ArrowUp", 0), ("End", 2), ("Home", 0)),
    ):
        page.keyboard.press(key)
        chosen = [turn.get_attribute("aria-selected") == "true" for turn in turns.all()]
        assert chosen == [number == expected for number in range(3)], key
