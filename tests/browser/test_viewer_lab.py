"""The viewer in JupyterLab 4 and Notebook 7: live, saved, and opened again by somebody else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

import pytest
from jupyter_app import JupyterServer, OpenNotebook

from rlm.demo.server import LMRequest, StandInServer, script

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

VIEW = ".rlm-viewer"
WIDGET = "application/vnd.jupyter.widget-view+json"

SETUP = """
from rlm import RLM
from rlm_ipython.viewer import TrajectoryViewer, show_live
rlm = RLM(backend_kwargs={{"model_name": "m", "base_url": {url!r}}})
"""

LIVE = """
handle = rlm.start("some context", "What is it?")
with show_live(handle):
    handle.wait()
"""


class Held:
    """A scripted model whose replies wait until the test lets them go, one by one."""

    def __init__(self, *replies: str) -> None:
        self._replies = replies
        self._gates = [threading.Event() for _ in replies]

    def __call__(self, request: LMRequest) -> str:
        number = request.turn - 1
        assert self._gates[number].wait(60)
        return self._replies[number]

    def release(self, number: int) -> None:
        self._gates[number].set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for gate in self._gates:
            gate.set()


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_a_run_is_seen_while_its_cell_blocks_and_kept_without_a_widget(
    app: str,
    notebook: Callable[..., OpenNotebook],
    jupyter: JupyterServer,
    server: Callable[..., StandInServer],
    page: Page,
) -> None:
    model = Held("I look.\n```repl\nprint('seen', len(context))\n```", "FINAL(forty two)")
    url = server(script(model)).base_url
    with model:
        opened = notebook(f"live-{app}.ipynb", SETUP.format(url=url), LIVE, app=app)
        opened.run_all(wait=False)
        page.locator(VIEW).get_by_text("What is it?").first.wait_for()
        page.locator(VIEW).get_by_text("asking the model").first.wait_for()
        model.release(0)
        page.locator(VIEW).get_by_text("seen 12", exact=True).first.wait_for()
        assert page.locator(f"{VIEW} .rlm-pill").first.inner_text() == "running"
        model.release(1)
        opened.wait()
    page.locator(VIEW).wait_for(state="detached")
    [output] = opened.outputs(1)
    assert WIDGET not in output["data"]
    assert "forty two" in output["data"]["text/html"]
    opened.save()
    saved = jupyter.read(f"live-{app}.ipynb")
    assert "widget" not in str(saved)
    assert "<script" not in str(saved)
