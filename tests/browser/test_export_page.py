"""A saved page and a notebook's fragment in a real browser: readable, and nothing in them acts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from hostile import a_hostile_story
from story import a_whole_story

from rlm.render import page as export
from rlm.trajectory import Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

UNFOLD = "document.querySelectorAll('details').forEach(each => { each.open = true; })"
FORBIDDEN = """() => [...document.querySelectorAll('*')].flatMap(each => [
    ...(/^(script|iframe|object|embed|form|input|button|svg|math|link|base|video|audio)$/i
        .test(each.localName) ? [each.localName] : []),
    ...[...each.attributes].map(a => a.name).filter(name => /^(on|data-|id$|srcset)/.test(name)),
])"""
CONTRAST = """() => {
    const channels = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = each => {
        for (let e = each; e; e = e.parentElement) {
            const [r, g, b, a = 1] = channels(getComputedStyle(e).backgroundColor);
            if (a > 0.5) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const worst = {ratio: 99, text: ''};
    while (walker.nextNode()) {
        const text = walker.currentNode.textContent.trim();
        const each = walker.currentNode.parentElement;
        if (!text || !each.offsetParent) continue;
        const [one, other] = [light(channels(getComputedStyle(each).color)), light(behind(each))];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (ratio < worst.ratio) Object.assign(worst, {ratio, text});
    }
    return worst;
}"""


class Watched:
    """A page on which every request, dialog, error and navigation is noted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.noted: list[str] = []
        page.on("request", lambda request: self._requested(request.url))
        page.on("dialog", lambda dialog: (self.noted.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: self.noted.append(str(error)))
        page.on("console", lambda said: self.noted.append(said.text))
        page.on("popup", lambda other: self.noted.append(other.url))

    def show(self, path: Path) -> None:
        """Open a file, unfold all of it, and move over everything there is."""
        self.page.goto(path.as_uri())
        self.page.evaluate(UNFOLD)
        self.page.mouse.move(300, 300)
        self.page.mouse.wheel(0, 20_000)
        self.page.wait_for_function("document.readyState === 'complete'")

    def _requested(self, url: str) -> None:
        if not url.startswith(("file:", "data:image/")):
            self.noted.append(url)


@pytest.mark.parametrize("guarded", [True, False], ids=["by its policy too", "by itself"])
def test_hostile_text_on_a_page_does_nothing(guarded: bool, page: Page, tmp_path: Path) -> None:
    trajectory = Trajectory.from_events(a_hostile_story().events)
    text = export.page(trajectory)
    if not guarded:
        text, count = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        assert count == 1
    path = tmp_path / "run.html"
    path.write_text(text, encoding="utf-8")
    watched = Watched(page)
    watched.show(path)
    assert watched.noted == []
    assert page.evaluate(FORBIDDEN) == []
    assert page.url == path.as_uri()


def test_hostile_text_in_a_fragment_does_nothing(page: Page, tmp_path: Path) -> None:
    trajectory = Trajectory.from_events(a_hostile_story().events)
    path = tmp_path / "fragment.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{export.fragment(trajectory)}")
    watched = Watched(page)
    watched.show(path)
    assert watched.noted == []
    assert page.evaluate(FORBIDDEN) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_readable_in_light_and_dark(
    scheme: str, new_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = new_page(color_scheme=scheme)
    path = Trajectory.from_events(a_whole_story().events).save(tmp_path / "run.html")
    page.goto(path.as_uri())
    assert page.title() == "Who is the narrator?"
    assert page.locator("summary", has_text="turn 1/30").first.is_visible()
    page.evaluate(UNFOLD)
    worst = page.evaluate(CONTRAST)
    # What a terminal coloured has one colour for both; all else has two.
    assert worst["ratio"] >= (4.2 if worst["text"].startswith("Traceback") else 4.5), worst
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=tmp_path / f"{scheme}.png")


@pytest.mark.parametrize("back", ["rgb(255, 255, 255)", "rgb(17, 17, 17)"])
def test_a_fragment_is_readable_on_white_and_on_black(
    back: str, page: Page, tmp_path: Path
) -> None:
    fragment = export.fragment(Trajectory.from_events(a_whole_story().events))
    ink = "black" if "255" in back else "white"
    path = tmp_path / "fragment.html"
    style = f"background: {back}; color: {ink}"
    path.write_text(f"<!doctype html><meta charset=utf-8><body style='{style}'>{fragment}")
    page.goto(path.as_uri())
    page.evaluate(UNFOLD)
    worst = page.evaluate(CONTRAST)
    assert worst["ratio"] >= 4, worst


def test_a_fragment_keeps_its_looks_in_an_untrusted_notebook(
    notebook: Callable[..., Any], jupyter: Any, page: Page
) -> None:
    fragment = export.fragment(Trajectory.from_events(a_whole_story().events))
    output = nbformat.v4.new_output("display_data", {"text/html": fragment, "text/plain": ""})  # type: ignore[no-untyped-call]
    cell = nbformat.v4.new_code_cell("run", outputs=[output], execution_count=1)  # type: ignore[no-untyped-call]
    book = nbformat.v4.new_notebook(cells=[cell])  # type: ignore[no-untyped-call]
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, jupyter.root / "kept.ipynb")  # type: ignore[no-untyped-call]
    opened = notebook("kept.ipynb")
    assert not opened.trusted(0)
    shown = page.locator(".jp-OutputArea-output.jp-RenderedHTML, .jp-RenderedHTMLCommon").first
    shown.wait_for()
    assert shown.locator("details").count() >= 10
    assert shown.locator("text=answered").first.is_visible()
    node = shown.locator("details").first
    assert node.evaluate("each => getComputedStyle(each).borderLeftWidth") == "1px"
    code = shown.locator("pre", has_text="llm_query_batched").first
    assert code.evaluate("each => getComputedStyle(each).whiteSpace") == "pre-wrap"
    turn = shown.locator("summary", has_text="the run").first
    assert not shown.locator("text=turn 1/30").first.is_visible()
    turn.click()
    assert shown.locator("text=turn 1/30").first.is_visible()
