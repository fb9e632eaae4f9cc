"""Makes the screenshots: runs of the demo's model, in a real JupyterLab and Notebook 7.

`python docs/screenshots/make.py [/usr/bin/chromium]` writes the PNG files beside this one.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "tests" / "browser")]

from jupyter_app import JupyterServer, open_notebook  # noqa: E402 - after the path
from PIL import Image  # noqa: E402 - after the path
from playwright.sync_api import sync_playwright  # noqa: E402

from rlm.demo import model  # noqa: E402
from rlm.demo.server import LMRequest, LMResponse, StandInServer  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Page

VIEW = ".rlm-viewer"
ACCIDENTS = 0.02
OTHER = "gpt-5-nano"
"""A model that cuts larger pieces, for two runs to compare."""

SETUP = """\
import os
from rlm import RLM
from rlm.demo.question import collect
files = collect(3_000_000)
options = {{"backend_kwargs": {{"model_name": "gpt-5", "base_url": {url!r}}}}}
options |= {{"other_backends": ["openai"], "other_backend_kwargs": [
    {{"model_name": "gpt-5-mini", "base_url": {url!r}}}]}}
options |= {{"prices": {{"gpt-5": (1.25, 10), "gpt-5-mini": (0.25, 2)}}, "max_depth": 2}}
options |= {{"max_budget": 0.5, "max_timeout": 60}}
rlm = RLM(**options)"""

QUESTION = "How many lines start with `raise NotImplementedError`, and where do most of them stand?"

RUN = f"""\
from rlm_ipython.viewer import TrajectoryViewer
run = rlm.start(files, "{QUESTION}")
TrajectoryViewer(run)"""

KEPT = """\
from rlm_ipython.viewer import show_live
with show_live(run):
    run.wait()"""

MAGICS = """\
%load_ext rlm_ipython
%config RLMMagics.base_url = {url!r}
%config RLMMagics.model = "gpt-5"
%config RLMMagics.sub_model = "gpt-5-mini"
prices = {{"gpt-5": (1.25, 10), "gpt-5-mini": (0.25, 2), "gpt-5-nano": (0.05, 0.4)}}
%config RLMMagics.prices = prices
from rlm.demo.question import collect
files = collect(3_000_000)"""

ASK = f"""\
%%rlm -v files -o result --budget 0.50 --max-depth 2
{QUESTION}"""

FORK = f"%rlm fork 1 2 -m {OTHER} -v files -o other --budget 0.50"

COMPARE = """\
from rlm_ipython.viewer import TrajectoryViewer
TrajectoryViewer(result, compare_with=other)"""


def reply(request: LMRequest) -> LMResponse:
    """Answer as the demo's model does, as slowly as a provider's; one call in a while fails."""
    said = model.reply(request)
    if request.model == OTHER:
        said = replace(said, text=said.text.replace("20_000", "60_000"))
    if request.is_root:
        return replace(said, delay=random.uniform(0.9, 2.0))  # noqa: S311 - a pause
    if random.random() < ACCIDENTS:  # noqa: S311 - an accident
        return LMResponse(text="", status=400, delay=0.4)
    return replace(said, delay=random.uniform(0.2, 1.1))  # noqa: S311 - a pause


def shoot(page: Page, name: str, selector: str | None = VIEW) -> None:
    """Write a picture of one element; without a selector of the page."""
    page.mouse.move(5, 5)
    path = HERE / f"{name}.png"
    (page.locator(selector).first if selector else page).screenshot(path=path)
    # 256 colours are enough for it, and a third of the size.
    Image.open(path).quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def viewer(page: Page, lab: JupyterServer, url: str, theme: str) -> None:
    """Take a run in the viewer, live and at its end, and what a saved notebook keeps of it."""
    lab.write("viewer.ipynb", SETUP.format(url=url), RUN, KEPT)
    notebook = open_notebook(page, lab, "viewer.ipynb")
    notebook.execute("application:toggle-left-area")
    notebook.run_cell(0)
    notebook.run_cell(1)
    page.locator(VIEW).get_by_text("running", exact=False).first.wait_for()
    page.locator(VIEW).get_by_text("llm_query \u00d7").first.wait_for()
    if theme == "light":
        shoot(page, "live")
    page.locator(f"{VIEW} .rlm-pill").get_by_text("answered").first.wait_for()
    page.locator(VIEW).get_by_text("turn 2").first.click()
    page.get_by_role("button", name="Timeline").click()
    shoot(page, f"viewer-{theme}")
    notebook.run_cell(2)
    page.locator(".jp-RenderedHTMLCommon summary").nth(0).click()
    page.locator(".jp-RenderedHTMLCommon summary").nth(1).click()
    if theme == "light":
        shoot(page, "static", ".jp-RenderedHTMLCommon:has(summary)")
    notebook.shutdown()


def magics(page: Page, lab: JupyterServer, url: str) -> None:
    """Take a `%%rlm` cell with its answer, and its run beside a fork of it."""
    lab.write("magics.ipynb", MAGICS.format(url=url), ASK, FORK, COMPARE)
    notebook = open_notebook(page, lab, "magics.ipynb")
    notebook.execute("application:toggle-left-area")
    notebook.run_cell(0)
    notebook.run_cell(1)
    page.locator(".jp-RenderedMarkdown").first.wait_for()
    shoot(page, "magic", ".jp-CodeCell:has(.jp-RenderedMarkdown)")
    notebook.run_cell(2)
    notebook.run_cell(3)
    page.locator(f"{VIEW} .rlm-pill").nth(1).get_by_text("answered").wait_for()
    page.locator(f"{VIEW} [data-turn='1']").click()
    shoot(page, "compare")
    notebook.shutdown()


def notebook7(page: Page, lab: JupyterServer, url: str) -> None:
    """Take Notebook 7 while a `%%rlm` cell runs."""
    lab.write("report.ipynb", MAGICS.format(url=url), ASK)
    notebook = open_notebook(page, lab, "report.ipynb", "notebook")
    notebook.run_cell(0)
    notebook.run_cell(1, wait=False)
    page.locator(VIEW).get_by_text("llm_query \u00d7").first.wait_for()
    page.locator(VIEW).scroll_into_view_if_needed()
    shoot(page, "notebook7", None)
    notebook.wait()
    notebook.shutdown()


def main() -> None:
    """Make them all."""
    random.seed(4)
    with sync_playwright() as playwright, StandInServer(reply) as server:
        chromium = playwright.chromium.launch(
            executable_path=sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu"],
        )
        for theme in ("light", "dark"):
            folder = Path(tempfile.mkdtemp(prefix="lab-"))
            lab = JupyterServer(folder, theme)

            def page(width: int = 1500, height: int = 1150) -> Page:
                opened = chromium.new_page(viewport={"width": width, "height": height})
                opened.set_default_timeout(120_000)
                return opened

            try:
                viewer(page(), lab, server.base_url, theme)
                if theme == "light":
                    magics(page(1300), lab, server.base_url)
                    notebook7(page(1300, 1000), lab, server.base_url)
            finally:
                lab.close()
                shutil.rmtree(folder, ignore_errors=True)
        chromium.close()


if __name__ == "__main__":
    main()
