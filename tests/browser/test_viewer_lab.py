"""The viewer in JupyterLab 4 and Notebook 7: live, saved, and opened again by somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from held_model import Held
from hostile_cell import HOSTILE, Watch
from jupyter_app import JupyterServer, OpenNotebook, open_notebook

from rlm.demo.server import StandInServer, script

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


SHOWN = """
handle = rlm.start("some context", "What is it?")
TrajectoryViewer(handle)
"""


def test_a_background_run_stops_when_the_button_is_clicked(
    notebook: Callable[..., OpenNotebook], server: Callable[..., StandInServer], page: Page
) -> None:
    model = Held("Never.")
    url = server(script(model)).base_url
    with model:
        opened = notebook("stop.ipynb", SETUP.format(url=url), SHOWN, "print(type(handle.error))")
        opened.run_cell(0)
        opened.run_cell(1)
        page.locator(VIEW).get_by_text("asking the model").first.wait_for()
        page.get_by_role("button", name="Stop").click()
        page.locator(f"{VIEW} .rlm-pill").get_by_text("cancelled").first.wait_for()
        opened.run_cell(2)
    assert "CancellationError" in opened.outputs(2)[0]["text"]


def test_lab_gets_none_of_the_viewers_keys_and_a_reloaded_page_shows_it_again(
    notebook: Callable[..., OpenNotebook],
    jupyter: JupyterServer,
    server: Callable[..., StandInServer],
    page: Page,
) -> None:
    code = "I look.\n```repl\nprint('x' * 50_000 + 'END')\nanswer['ready'] = True\n```"
    url = server(script([code])).base_url
    shown = "result = rlm.completion('some context', 'What is it?')\nTrajectoryViewer(result)"
    opened = notebook("keys.ipynb", SETUP.format(url=url), shown)
    opened.run_all()
    page.locator(VIEW).get_by_text("I look.").first.click()
    for key in ("d", "d", "a", "b", "x", "m", "m", "Enter"):
        page.keyboard.press(key)
    page.locator(".rlm-input").fill("dd")
    page.keyboard.press("Escape")
    assert opened.cell_count() == 2
    # A body that is too long to travel with its event is here once it is looked at.
    page.locator(VIEW).get_by_text("print(", exact=False).first.click()
    page.locator(f"{VIEW} .rlm-detail").get_by_text("are being loaded").wait_for(state="detached")
    page.locator(f"{VIEW} .rlm-detail").get_by_text("Show more").first.click()
    page.locator(f"{VIEW} .rlm-detail").get_by_text("END", exact=False).first.wait_for()
    opened.save()
    again = open_notebook(page, jupyter, "keys.ipynb")
    page.locator(VIEW).get_by_text("I look.").first.wait_for(timeout=60_000)
    assert again.cell_count() == 2


def test_hostile_text_does_nothing_in_a_trusted_notebook_or_when_opened_later(
    notebook: Callable[..., OpenNotebook],
    jupyter: JupyterServer,
    server: Callable[..., StandInServer],
    new_page: Callable[..., Page],
    page: Page,
) -> None:
    code = f"{HOSTILE}\n```repl\nprint(context)\n```"
    display = "from IPython.display import HTML, display\ndisplay(HTML(context))\n"
    last = f"{HOSTILE}\n```repl\n{display}answer['content'] = context\nanswer['ready'] = True\n```"
    url = server(script([code, last])).base_url
    ask = f"text = {HOSTILE!r}\nhandle = rlm.start(text, text)"
    live = f"{ask}\nwith show_live(handle):\n    handle.wait()"
    opened = notebook("hostile.ipynb", SETUP.format(url=url), live, "TrajectoryViewer(handle)")
    watch = Watch(page, jupyter.url)
    opened.run_all()
    assert opened.trusted(1)
    page.locator(f"{VIEW} [role=treeitem]").nth(3).wait_for()
    for number in range(5):
        page.locator(f"{VIEW} [role=treeitem]").nth(number).click()
    page.locator(".jp-OutputArea summary").first.click()
    opened.save()
    watch.assert_nothing_happened()

    # Somebody else's copy: its signature is not this server's, so it is not trusted.
    copy = jupyter.read("hostile.ipynb")
    copy.cells[0].source = "# mine"
    del copy.cells[2]
    jupyter.put("copy.ipynb", copy)
    other = new_page()
    watch = Watch(other, jupyter.url)
    reopened = notebook("copy.ipynb", page=other)
    assert not reopened.trusted(1)
    told = other.locator(".jp-OutputArea summary").first.inner_text()
    assert "2 turns" in told
    for summary in other.locator(".jp-OutputArea summary").all():
        if summary.is_visible():
            summary.click()
    assert "javascript:window.hurt=1" in other.locator(".jp-OutputArea-output").first.inner_text()
    watch.assert_nothing_happened()
