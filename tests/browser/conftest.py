"""Gives tests a real Chromium, pages in it, and JupyterLab and Notebook 7 to open there.

`require` decides what a machine without Chromium means. Fixtures that start processes live as
long as a module: Playwright's event loop must not outlive the browser tests.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_app import JupyterServer, OpenNotebook, open_notebook
from viewer_page import ViewerPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

CHROMIUM = os.environ.get("RLM_TEST_CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    # A renderer in reserve would be a process that a test has left behind.
    "--disable-features=SpareRendererForSitePerProcess",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser | None]:
    """A headless Chromium; None where there is none."""
    if not Path(CHROMIUM).exists():
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield chromium
        finally:
            chromium.close()


@pytest.fixture
def new_page(browser: Browser | None, require: Callable[[object, str], None]) -> Iterator[Any]:
    """`new_page(color_scheme="dark")`: a page in a profile of its own, closed after the test."""
    require(browser is not None, f"Chromium at {CHROMIUM} (or $RLM_TEST_CHROMIUM)")
    assert browser is not None
    with ExitStack() as opened:

        def start(**options: Any) -> Page:
            options.setdefault("viewport", {"width": 1280, "height": 900})
            context = browser.new_context(**options)
            opened.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(30_000)
            return page

        yield start


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """A page in a profile of its own."""
    return new_page()


@pytest.fixture(scope="module")
def jupyter() -> Iterator[JupyterServer | None]:
    """A Jupyter server with JupyterLab and Notebook 7; None where there is no browser for it."""
    if not Path(CHROMIUM).exists():
        yield None
        return
    # Not `tmp_path_factory`: sockets' paths are limited to 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    server = JupyterServer(folder)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def notebook(page: Page, jupyter: JupyterServer) -> Iterator[Callable[..., OpenNotebook]]:
    """`notebook("x.ipynb", "print(1)", ...)`: a new notebook, open; its kernel ends with the test.

    `app="notebook"` opens it in Notebook 7 instead of JupyterLab, `kernel=` names a kernelspec,
    and without cells the file must be there already.
    """
    opened: list[OpenNotebook] = []

    def start(
        name: str, *cells: str, app: str = "lab", kernel: str = "python3", page: Page = page
    ) -> OpenNotebook:
        if cells:
            jupyter.write(name, *cells, kernel=kernel)
        opened.append(open_notebook(page, jupyter, name, app))
        return opened[-1]

    yield start
    for each in opened:
        each.shutdown()


@pytest.fixture
def viewer(page: Page, tmp_path: Path) -> Iterator[ViewerPage]:
    """The viewer alone on a page, empty; what no code of the page caught fails the test."""
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("console", lambda said: failures.append(said.text) if said.type == "error" else None)
    shown = ViewerPage(page)
    shown.open(tmp_path)
    yield shown
    assert failures == []
