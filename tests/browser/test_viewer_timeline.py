"""The viewer's timeline in a real browser: a canvas, looked at by its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from viewer_page import ViewerPage, at_once, whole

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect

AXIS = 20
LANE = 14
LOW_LANE = 4
PAD = 6

COLORS = """
(canvas, y) => {
    const ratio = devicePixelRatio;
    const pen = canvas.getContext('2d');
    const {data} = pen.getImageData(0, Math.round(y * ratio), canvas.width, 1);
    const two = value => value.toString(16).padStart(2, '0');
    const hex = i => '#' + [...data.slice(i, i + 3)].map(two).join('');
    const found = new Set();
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) found.add(hex(i));
    return [...found];
}
"""


class Timeline:
    """The open timeline of a viewer."""

    def __init__(self, viewer: ViewerPage) -> None:
        self.viewer = viewer
        viewer.page.get_by_role("button", name="Timeline").click()
        viewer.settle()
        self.canvas = viewer.page.locator(".rlm-timeline canvas")
        self.scroll = viewer.page.locator(".rlm-timeline-scroll")

    @property
    def box(self) -> FloatRect:
        """Where the canvas is on the page."""
        box = self.canvas.bounding_box()
        assert box is not None
        return box

    def click(self, part: float, y: float) -> str:
        """Click at a part of the width and a height; return what is selected then."""
        self.viewer.page.mouse.click(self.box["x"] + self.box["width"] * part, self.box["y"] + y)
        self.viewer.settle()
        return self.viewer.selected

    def colors(self, lane: int) -> set[str]:
        """Return the colours that stand in a lane, of those that are tall."""
        y = AXIS + lane * LANE + LANE / 2 - 1
        return set(self.canvas.evaluate(COLORS, y))

    def color(self, name: str) -> str:
        """Return a colour of the viewer by its name."""
        value = "(each, name) => getComputedStyle(each).getPropertyValue(name).trim()"
        return str(self.canvas.evaluate(value, name))

    def scroll_to(self, pixels: float) -> None:
        """Scroll to a height."""
        self.scroll.evaluate("(each, pixels) => { each.scrollTop = pixels; }", pixels)
        self.viewer.settle()

    def zoom(self, part: float, y: float) -> None:
        """Turn the wheel at a place with Ctrl held, until a fifteenth of the time is left."""
        page = self.viewer.page
        self.canvas.evaluate(
            "each => { window.turned = 0; each.addEventListener('wheel', () => window.turned++); }"
        )
        page.mouse.move(self.box["x"] + self.box["width"] * part, self.box["y"] + y)
        page.keyboard.down("Control")
        for turned in range(12):
            page.mouse.wheel(0, -100)
            page.wait_for_function("turned => window.turned > turned", arg=turned)
        page.keyboard.up("Control")
        self.viewer.settle()

    @property
    def scrolled(self) -> float:
        """How far it is scrolled."""
        return float(self.scroll.evaluate("each => each.scrollTop"))


def test_the_timeline_and_the_list_stay_in_step(viewer: ViewerPage) -> None:
    viewer.show(whole())
    viewer.row("turn 1").click()
    timeline = Timeline(viewer)
    # Lane 1 holds the turns; turn 2 takes the greater part of the time.
    assert timeline.click(0.6, AXIS + LANE + 5).startswith("turn 2")
    width = timeline.box["width"]
    for step in range(0, 60, 6):  # somewhere here is one of the plain calls
        timeline.click(0.3 + step / width, AXIS + 3 * LANE + 5)
    assert viewer.selected.startswith("llm_query, Part")
    assert viewer.row("llm_query \u00d7 16").get_attribute("aria-expanded") == "true"


def test_ten_thousand_calls_at_once_do_not_make_the_canvas_taller(viewer: ViewerPage) -> None:
    viewer.show(at_once(10_000))
    timeline = Timeline(viewer)
    lanes = timeline.scroll.evaluate("each => each.scrollHeight")
    assert lanes == AXIS + 3 * LANE + 10_000 * LOW_LANE + PAD
    in_sight = timeline.scroll.evaluate("each => each.clientHeight")
    assert in_sight <= 240
    assert timeline.box["height"] == in_sight
    ratio = viewer.page.evaluate("devicePixelRatio")
    assert timeline.canvas.evaluate("canvas => canvas.height") == round(in_sight * ratio)

    timeline.scroll_to(lanes)
    assert timeline.box["height"] == in_sight
    assert "Part 9999" in timeline.click(0.75, in_sight - PAD - LOW_LANE / 2)
    assert "Part 9998" in timeline.click(0.75, in_sight - PAD - LOW_LANE * 1.5)
    # A thin bar that is chosen is in the accent's colour, a bar that is not in its model's.
    there = timeline.canvas.evaluate(COLORS, in_sight - PAD - LOW_LANE * 1.5)
    assert timeline.color("--rlm-accent") in there
    there = timeline.canvas.evaluate(COLORS, in_sight - PAD - LOW_LANE / 2)
    assert timeline.color("--rlm-hue-1") in there

    # Part 5000 is the 5001st call, below the run, its turn and its cell.
    timeline.scroll_to(3 * LANE + 5000 * LOW_LANE)
    assert "Part 5000" in timeline.click(0.5, AXIS + LOW_LANE / 2)
    timeline.click(0.5, 5)  # on the axis: nothing is there
    assert "Part 5000" in viewer.selected


def test_the_timeline_scrolls_to_what_the_list_selects(viewer: ViewerPage) -> None:
    viewer.show(at_once(1000))
    timeline = Timeline(viewer)
    viewer.row("llm_query \u00d7 1,000").locator(".rlm-twist").click()
    viewer.page.keyboard.press("End")
    viewer.settle()
    assert "Part 999" in viewer.selected
    end = timeline.scroll.evaluate("each => each.scrollHeight - each.clientHeight")
    assert timeline.scrolled == end
    viewer.page.keyboard.press("Home")
    viewer.settle()
    assert timeline.scrolled == 0


def test_the_timeline_can_be_scrolled_by_keys(viewer: ViewerPage) -> None:
    viewer.show(at_once(1000))
    timeline = Timeline(viewer)
    timeline.scroll.focus()
    viewer.page.keyboard.press("End")
    viewer.page.wait_for_function(
        "() => { const s = document.querySelector('.rlm-timeline-scroll');"
        " return s.scrollTop + s.clientHeight === s.scrollHeight; }"
    )
    viewer.settle()
    assert "Part 999" in timeline.click(0.75, timeline.box["height"] - PAD - LOW_LANE / 2)


def test_the_timeline_zooms_where_the_pointer_is(viewer: ViewerPage) -> None:
    viewer.show(whole())
    timeline = Timeline(viewer)
    turns = AXIS + LANE + 5
    timeline.zoom(0.05, turns)  # there is turn 1
    assert timeline.click(0.6, turns).startswith("turn 1")
    viewer.page.get_by_role("button", name="All", exact=True).click()
    assert timeline.click(0.6, turns).startswith("turn 2")
    timeline.zoom(0.05, turns)
    timeline.canvas.dblclick(position={"x": 5, "y": 5})
    assert timeline.click(0.6, turns).startswith("turn 2")


def test_buttons_zoom_into_the_middle_and_out_again(viewer: ViewerPage) -> None:
    viewer.show(whole())
    timeline = Timeline(viewer)
    turns = AXIS + LANE + 5
    assert timeline.click(0.05, turns).startswith("turn 1")
    for _ in range(3):
        viewer.page.get_by_role("button", name="Zoom in").click()
    assert timeline.click(0.05, turns).startswith("turn 2")
    for _ in range(3):
        viewer.page.get_by_role("button", name="Zoom out").click()
    assert timeline.click(0.05, turns).startswith("turn 1")


def test_zooming_leaves_the_lanes_where_they_are(viewer: ViewerPage) -> None:
    viewer.show(at_once(1000))
    timeline = Timeline(viewer)
    timeline.scroll_to(3 * LANE + 500 * LOW_LANE)
    here = timeline.scrolled
    timeline.zoom(0.5, AXIS + LOW_LANE / 2)
    assert timeline.scrolled == here
    assert "Part 500" in timeline.click(0.5, AXIS + LOW_LANE / 2)
    assert "Part 501" in timeline.click(0.1, AXIS + LOW_LANE * 1.5)


def test_bars_have_the_colour_of_their_model_or_of_their_cost(viewer: ViewerPage) -> None:
    viewer.show(whole())
    timeline = Timeline(viewer)
    legend = viewer.page.locator(".rlm-key")
    assert legend.all_inner_texts() == ["gpt-5-mini", "gpt-5-nano"]
    assert timeline.color("--rlm-hue-0") in timeline.colors(1)  # turns
    assert timeline.color("--rlm-hue-1") in timeline.colors(3)  # plain calls
    by_cost = viewer.page.get_by_role("button", name="Colour by cost")
    by_cost.click()
    assert by_cost.get_attribute("aria-pressed") == "true"
    assert legend.count() == 0
    assert timeline.color("--rlm-heat-5") in timeline.colors(1)
    assert timeline.color("--rlm-heat-1") in timeline.colors(3)
    assert timeline.color("--rlm-shade") in timeline.colors(0)  # a run's cost is that of its turns
    by_cost.click()
    assert timeline.color("--rlm-hue-0") in timeline.colors(1)
