"""How fast the trajectory viewer is: its first paint, and scrolling in 10,000 sub-calls.

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
from story import Story  # noqa: E402
from viewer_page import ViewerPage  # noqa: E402

from rlm.trajectory import Trajectory  # noqa: E402
from rlm_ipython.viewer.feed import Feed  # noqa: E402

CALLS = 10_000

SCROLL = """
async (pixels) => {
    const tree = document.querySelector('.rlm-tree');
    const frame = () => new Promise(resolve => requestAnimationFrame(resolve));
    await frame();
    const times = [];
    let last = performance.now();
    for (let i = 0; i < 240; i++) {
        tree.scrollTop += pixels;
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


def trajectory() -> Trajectory:
    """Return a run with one cell that made 10,000 plain calls."""
    story = Story()
    with story.run(), story.turn(), story.cell("llm_query_batched(parts)"):
        for call in range(CALLS):
            with story.call(f"Part {call}: what does it say?", "It says that it is a book."):
                pass
    return Trajectory.from_events(story.events)


def main() -> None:
    """Print the figures."""
    shown = trajectory()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        viewer = ViewerPage(page)
        began = time.perf_counter()
        viewer.open(Path(tempfile.mkdtemp()))
        print(f"loading the bundle, an empty viewer: {(time.perf_counter() - began) * 1e3:.0f} ms")
        viewer.feeds[0] = Feed(shown)
        first = viewer.feeds[0].batch()
        assert first is not None
        print(
            f"first batch ({len(first):,} characters) painted: {page.evaluate(FIRST, first):.0f} ms"
        )
        began = time.perf_counter()
        viewer.slot = 1
        viewer.pump()
        print(
            f"the other batches, all of {2 * CALLS:,} events: {time.perf_counter() - began:.2f} s"
        )
        viewer.row("llm_query \u00d7 10,000").locator(".rlm-twist").click()
        viewer.settle()
        for pixels in (60, 600):
            figures = page.evaluate(SCROLL, pixels)
            print(
                f"scrolling {pixels} pixels a frame: {figures['fps']:.1f} frames/s, "
                f"median {figures['median']:.1f} ms, worst {figures['worst']:.1f} ms"
            )
        print(f"elements of rows: {page.locator('[role=treeitem]').count()}")
        chromium.close()


if __name__ == "__main__":
    main()
