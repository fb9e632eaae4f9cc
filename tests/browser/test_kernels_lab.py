"""The RLM kernels in JupyterLab: in the launcher, with a logo; a notebook in one asks models."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from jupyter_app import TOKEN, JupyterServer, OpenNotebook

from rlm.demo.server import LMResponse, StandInServer, script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

SLOW = threading.Event()
"""Set when a prompt has come that is not answered for a minute."""


def sub(prompt: str) -> LMResponse:
    if prompt == "slow":
        SLOW.set()
        return LMResponse(text="late", delay=60)
    return LMResponse(text=f"<{prompt}>")


@pytest.fixture(scope="module", autouse=True)
def model() -> Iterator[None]:
    """A model for the Jupyter server, as its environment names one."""
    root = "```repl\nFINAL(f'{context} {llm_query(context)}')\n```"
    with StandInServer(script(lambda _: root, sub)) as server, pytest.MonkeyPatch.context() as env:
        env.setenv("RLM_BACKEND", "vllm")
        env.setenv("RLM_MODEL", "stand-in")
        env.setenv("RLM_BASE_URL", server.base_url)
        yield


def test_the_launcher_offers_every_kernel_with_its_logo(page: Page, jupyter: JupyterServer) -> None:
    page.goto(f"{jupyter.url}/lab?reset&token={TOKEN}", wait_until="domcontentloaded")
    for name in ("local", "Docker", "Modal"):
        card = page.locator(
            f".jp-LauncherCard[data-category='Notebook'][title='RLM ({name})']"
        ).first
        card.wait_for()
        logo = card.locator("img")
        logo.wait_for()
        source = logo.get_attribute("src") or ""
        assert "logo-svg.svg" in source
        page.wait_for_function("image => image.naturalWidth > 0", arg=logo.element_handle())
    if picture := os.environ.get("RLM_TEST_PICTURES"):
        page.locator(".jp-Launcher").screenshot(path=f"{picture}/launcher.png")


def test_a_notebook_has_what_a_model_has(notebook: Callable[..., OpenNotebook], page: Page) -> None:
    opened = notebook(
        "person.ipynb",
        "print(llm_query('hi'))",
        "report = 'a report'\n%rlm_context report",
        "print(rlm_query(context))",
        "%%rlm -v report -o result\nWhat?",
        "print(result.answer)",
        "import os\nprint([name for name in os.environ if 'KEY' in name])",
        "llm_query('slow')\nprint('not reached')",
        "print('goes on', llm_query('x'))",
        kernel="rlm",
    )
    for number in range(6):
        opened.run_cell(number)
    page.locator(".jp-RenderedMarkdown").get_by_text("a report <a report>").first.wait_for()
    view, answer = opened.outputs(3)
    assert view["data"]["text/html"].startswith("<details><summary>answered · 1 turn")
    assert "a report" in answer["data"]["text/markdown"]
    texts = ["".join(out.get("text", "") for out in opened.outputs(n)) for n in range(6)]
    assert texts == [
        "<hi>\n",
        "context is a str of length 8, the variable report\n",
        "a report <a report>\n",
        "",
        "a report <a report>\n",
        "[]\n",
    ]

    opened.run_cell(6, wait=False)
    assert SLOW.wait(60)
    opened.execute("notebook:interrupt-kernel")
    opened.wait(first=6, last=7)
    assert opened.outputs(6)[-1]["ename"] == "KeyboardInterrupt"
    opened.run_cell(7)
    assert opened.outputs(7)[0]["text"] == "goes on <x>\n"
