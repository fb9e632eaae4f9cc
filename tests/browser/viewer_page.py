"""The viewer's front end on a bare page: the real bundle, and a stand-in for anywidget's `model`.

What it is told comes from a real `Feed`, so both ends of the wire are the ones that ship.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from story import Story, a_whole_story

from rlm.render import STATIC
from rlm.trajectory import Trajectory
from rlm_ipython.viewer.feed import Feed

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SLOTS = 16

_PAGE = """<!doctype html><meta charset="utf-8"><title>viewer</title>
<style>body {{ margin: 12px; font-family: system-ui; background: {back}; }}</style><body>"""

_START = """
async ([esm, css, state]) => {
    class Model {
        constructor(state) { this.state = state; this.heard = {}; this.sent = []; }
        get(name) { return this.state[name]; }
        set(name, value) { this.state[name] = value; this.tell(`change:${name}`, value); }
        on(name, f) { (this.heard[name] ??= []).push(f); }
        off(name, f) { this.heard[name] = (this.heard[name] ?? []).filter(g => g !== f); }
        tell(name, value) { for (const f of this.heard[name] ?? []) f(value); }
        send(message) { this.sent.push(message); }
    }
    const style = document.createElement('style');
    style.textContent = css;
    document.head.append(style);
    const url = URL.createObjectURL(new Blob([esm], {type: 'text/javascript'}));
    window.widget = (await import(url)).default;
    window.model = new Model(state);
    await widget.initialize({model});
    window.place = document.createElement('div');
    document.body.append(place);
    window.leave = await widget.render({model, el: place});
}
"""


def whole() -> Trajectory:
    """A run with everything in it."""
    return Trajectory.from_events(a_whole_story().events)


def many(calls: int, cells: int = 1) -> Trajectory:
    """A run with many plain calls, one after another."""
    story = Story()
    with story.run():
        for number in range(cells):
            with story.turn(number=number + 1), story.cell("llm_query_batched(parts)"):
                for call in range(calls // cells):
                    with story.call(f"Part {number}-{call}", "It is a book."):
                        pass
    return Trajectory.from_events(story.events)


def at_once(calls: int) -> Trajectory:
    """A run with many plain calls, all at once."""
    story = Story()
    with story.run(), story.turn(), story.cell("llm_query_batched(parts)"):
        story.calls_at_once(calls)
    return Trajectory.from_events(story.events)


@dataclass
class ViewerPage:
    """A page with the viewer on it.

    Attributes:
        page: The browser's page.
        feeds: What its "kernel" has, by track.
    """

    page: Page
    feeds: dict[int, Feed] = field(default_factory=dict)
    slot: int = 0

    def open(self, folder: Path, *, dark: bool = False, **state: Any) -> None:
        """Load the page from a file and put an empty viewer on it."""
        file = folder / "viewer.html"
        file.write_text(_PAGE.format(back="#111" if dark else "#fff"))
        self.page.goto(file.as_uri())
        esm = (STATIC / "viewer.js").read_text()
        css = (STATIC / "viewer.css").read_text()
        self.page.evaluate(_START, [esm, css, {"height": 460, **state}])

    def show(self, trajectory: Trajectory, track: int = 0) -> None:
        """Tell it all of a trajectory."""
        self.feeds[track] = Feed(trajectory, track)
        self.pump(track)

    def pump(self, track: int = 0) -> None:
        """Send what the feed has not sent yet."""
        while (batch := self.feeds[track].batch()) is not None:
            self.put(batch)
        self.settle()

    def put(self, batch: str) -> None:
        """Send one batch, as the kernel's ring of traits would."""
        self.page.evaluate("([name, text]) => model.set(name, text)", [f"_slot_{self.slot}", batch])
        self.slot = (self.slot + 1) % SLOTS

    def settle(self) -> None:
        """Wait until the viewer has drawn what it was told."""
        self.page.evaluate("() => new Promise(r => requestAnimationFrame(() => setTimeout(r, 0)))")

    def answer(self) -> list[dict[str, Any]]:
        """Do what the viewer has asked for; return what that was."""
        asked: list[dict[str, Any]] = self.page.evaluate("() => model.sent.splice(0)")
        for message in asked:
            if message["kind"] == "load":
                feed = self.feeds[message["track"]]
                body = {"kind": "body", "track": message["track"], "epoch": feed.epoch}
                body |= {"number": message["number"], "event": feed.whole(message["number"])}
                self.page.evaluate("body => model.tell('msg:custom', body)", body)
            if message["kind"] == "search":
                ids = self.feeds[message["track"]].search(message["text"])
                found = {**message, "kind": "found", "ids": ids}
                self.page.evaluate("found => model.tell('msg:custom', found)", found)
        self.settle()
        return asked

    @property
    def rows(self) -> Locator:
        """The rows that have an element."""
        return self.page.locator("[role=treeitem]:visible")

    def row(self, words: str) -> Locator:
        """Return the first row that says something."""
        return self.rows.filter(has_text=words).first

    @property
    def selected(self) -> str:
        """What is said of the selected row."""
        row = self.page.locator("[role=treeitem][aria-selected=true]")
        return str(row.get_attribute("aria-label"))

    @property
    def detail(self) -> Locator:
        """The pane beside the tree."""
        return self.page.locator(".rlm-detail")

    def rendered(self) -> str:
        """Return everything that the page shows as text."""
        return str(self.page.evaluate("() => document.body.innerText"))
