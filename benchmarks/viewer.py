"""How fast the trajectory viewer is: its first paint, and scrolling in 10,000 sub-calls.

The tree scrolls in calls one after another, the timeline in calls that are all made at once.

Run it with a Chromium at hand: `python benchmarks/viewer.py [/usr/bin/chromium]`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]

from playwright.sync_api import sync_playwright  # noqa: E402 - after the path
from viewer_page import ViewerPage, at_once, many  # noqa: E402 - after the path

from rlm_ipython.viewer.feed import Feed  # noqa: E402

CALLS = 10_000

SCROLL = """
async ([element, pixels]) => {
    const scrolled = document.querySelector(element);
    const frame = () => new Promise(resolve => requestAnimationFrame(resolve));
    await frame();
    const times = [];
    let last = performance.now();
    for (let i = 0; i < 240; i++) {
        scrolled.scrollTop += pixels;
        await frame();
        const now = performance.now();
        times.push(now - last);
        last = now;
    }
    times.sort((a, b) => a - b);
    const total = times.reduce((a, b) => a + b);
    return {fps: 1000 * times.length / total, median: times[120], worst: times[239]};
}
"""

OPEN = """
async () => {
    const frame = () => new Promise(resolve => requestAnimationFrame(resolve));
    await frame();
    const begin = performance.now();
    [...document.querySelectorAll('button')].find(b => b.textContent === 'Timeline').click();
    await frame();
    await frame();
    return performance.now() - begin;
}
"""

FIRST = """
async (batch) => {
    const begin = performance.now();
    model.set('_slot_0', batch);
    while (!document.querySelector('[role=treeitem]')) {
        await new Promise(resolve => requestAnimationFrame(resolve));
    }
    await new Promise(resolve => requestAnimationFrame(resolve));
    return performance.now() - begin;
}
"""


def main() -> None:
    """Print the figures."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu"],
        )
        for measure in (measure_tree, measure_timeline):
            measure(ViewerPage(chromium.new_page(viewport={"width": 1280, "height": 900})))
        chromium.close()


def measure_tree(viewer: ViewerPage) -> None:
    """Print how fast a run of calls one after another is shown."""
    began = time.perf_counter()
    viewer.open(Path(tempfile.mkdtemp()))
    print(f"loading the bundle, an empty viewer: {(time.perf_counter() - began) * 1e3:.0f} ms")
    viewer.feeds[0] = Feed(many(CALLS))
    first = viewer.feeds[0].batch()
    assert first is not None
    painted = viewer.page.evaluate(FIRST, first)
    print(f"first batch ({len(first):,} characters) painted: {painted:.0f} ms")
    began = time.perf_counter()
    viewer.slot = 1
    viewer.pump()
    print(f"the other batches, all of {2 * CALLS:,} events: {time.perf_counter() - began:.2f} s")
    viewer.row("llm_query \u00d7 10,000").locator(".rlm-twist").click()
    viewer.settle()
    scroll(viewer, ".rlm-tree", 60, 600)
    print(f"elements of rows: {viewer.page.locator('[role=treeitem]').count()}")


def measure_timeline(viewer: ViewerPage) -> None:
    """Print how fast calls that are all made at once are drawn."""
    viewer.open(Path(tempfile.mkdtemp()))
    viewer.show(at_once(CALLS))
    opened = viewer.page.evaluate(OPEN)
    print(f"opening the timeline of {CALLS:,} calls at once: {opened:.0f} ms")
    scroll(viewer, ".rlm-timeline-scroll", 20, 150)
    canvas = viewer.page.locator(".rlm-timeline canvas")
    print("canvas: {width:.0f} x {height:.0f} pixels".format(**canvas.bounding_box() or {}))


def scroll(viewer: ViewerPage, element: str, *steps: int) -> None:
    """Print how many frames a second are drawn while something is scrolled."""
    for pixels in steps:
        figures = viewer.page.evaluate(SCROLL, [element, pixels])
        print(
            f"scrolling {element} by {pixels} pixels a frame: {figures['fps']:.1f} frames/s, "
            f"median {figures['median']:.1f} ms, worst {figures['worst']:.1f} ms"
        )


if __name__ == "__main__":
    main()
