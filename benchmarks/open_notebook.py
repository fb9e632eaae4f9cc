"""How long JupyterLab takes to open a run's notebook of 10,000 events.

Two runs are opened, in a headless Chromium and a Lab that is there already, as by a double click in
its file browser: one that wrote much (526 turns with a cell and its outputs), and one that asked
much (29 turns with 4,700 sub-calls, in 29 children too). An empty notebook is opened beside them:
that much of the time is Lab's own.

    python benchmarks/open_notebook.py [--chromium /usr/bin/chromium] [OTHER.ipynb ...]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]

from jupyter_app import TOKEN, JupyterServer  # noqa: E402 - after the path
from playwright.sync_api import sync_playwright  # noqa: E402
from story import Story, stdout  # noqa: E402

from rlm.formats.notebook.write import notebook_bytes  # noqa: E402
from rlm.trajectory import Trajectory  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROUNDS = 5
EVENTS = 10_000
TARGET = 5.0

# The notebook is open when its model is whole and its head is on the screen, rendered.
OPENED = """
async (name) => {
    const frame = () => new Promise(resolve => requestAnimationFrame(resolve));
    const began = performance.now();
    const panel = await window.jupyterapp.commands.execute('docmanager:open', {path: name});
    await panel.context.ready;
    await panel.revealed;
    const head = () => panel.content.node.querySelector('.jp-Cell');
    while (!head() || !head().getBoundingClientRect().height || !head().innerText.trim()) {
        await frame();
    }
    await frame();
    return [(performance.now() - began) / 1000, panel.content.model.cells.length];
}
"""


def much_written() -> Trajectory:
    """Return a run of many turns, each with a cell."""
    story = Story()
    with story.run(question="What is in the log?", answer="Many turns."):
        number = 0
        while len(story.events) < EVENTS - 8:
            number += 1
            with story.turn(
                f"I look at part {number}.\n```repl\nlook({number})\n```", number=number
            ):
                outputs = [stdout(f"part {number}, line {line}\n" * 5) for line in range(14)]
                with story.cell(f"look({number})", *outputs):
                    pass
    return Trajectory.from_events(story.events)


def much_asked() -> Trajectory:
    """Return a run with many sub-calls, of which some are children with calls of their own."""
    story = Story()
    with story.run(question="What does every part say?", answer="Many things."):
        number = 0
        while len(story.events) < EVENTS - 350:
            number += 1
            ask = f"ask({number})"
            with (
                story.turn(f"I ask about the parts.\n```repl\n{ask}\n```", number=number),
                story.cell(ask, stdout("asked\n")),
            ):
                for part in range(100):
                    with story.call(f"Part {part}: what does it say?", "That it is a book."):
                        pass
                with (
                    story.call("Read it", "A book.", kind="rlm"),
                    story.run(),
                    story.turn(),
                    story.cell("llm_query_batched(pages)"),
                ):
                    for page in range(60):
                        with story.call(f"Page {page}?", "Words."):
                            pass
    return Trajectory.from_events(story.events)


def opened(browser: Browser, server: JupyterServer, name: str) -> tuple[float, int]:
    """Open a notebook in a Lab of its own; return the seconds that took, and its cells."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        page.goto(f"{server.url}/lab?reset&token={TOKEN}", wait_until="domcontentloaded")
        page.wait_for_function("() => window.jupyterapp !== undefined", timeout=60_000)
        page.evaluate("async () => { await window.jupyterapp.restored; }")
        took, cells = page.evaluate(OPENED, name)
        return took, cells
    finally:
        context.close()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="others to open, in turn with ours")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    runs = {"much written": much_written(), "much asked": much_asked()}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = JupyterServer(Path(folder))
        chromium = playwright.chromium.launch(
            executable_path=options.chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            server.write("empty.ipynb", "%%md\nnothing")
            files = {"an empty notebook": "empty.ipynb"}
            contents = {
                f"{name}: {len(run):,} events": notebook_bytes(run) for name, run in runs.items()
            }
            contents |= {str(path): path.read_bytes() for path in options.notebooks}
            for number, (name, content) in enumerate(contents.items()):
                file = f"{number}.ipynb"
                (server.root / file).write_bytes(content)
                files[f"{name}, {len(content) / 1e6:.1f} MB"] = file
            figures: dict[str, list[tuple[float, int]]] = {name: [] for name in files}
            for _ in range(ROUNDS):  # In turn: other work on the machine slows all of them.
                for name, file in files.items():
                    figures[name].append(opened(chromium, server, file))
            for name, found in figures.items():
                times = [seconds for seconds, _ in found]
                print(
                    f"{name}, {found[0][1]:,} cells: {statistics.median(times):.2f} s "
                    f"({min(times):.2f}-{max(times):.2f}, target {TARGET:g})",
                    flush=True,
                )
        finally:
            chromium.close()
            server.close()


if __name__ == "__main__":
    main()
