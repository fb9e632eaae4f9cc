"""`%%rlm` and `%rlm` in JupyterLab 4 and Notebook 7, clicked and typed as a person does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from held_model import Held
from hostile import PAYLOADS
from hostile_cell import HOSTILE, Watch

from rlm.demo.server import LMResponse, StandInServer, script

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_app import JupyterServer, OpenNotebook
    from playwright.sync_api import Page

VIEW = ".rlm-viewer"
ANSWER = ".jp-RenderedMarkdown[data-mime-type='text/markdown']"
ERROR = ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']"

SETUP = """
%load_ext rlm_ipython
%config RLMMagics.model = "m"
%config RLMMagics.base_url = {url!r}
report = "words " * 1000
"""

KERNELS = """
import psutil
[child.pid for server in psutil.Process().children() for child in server.children()]
"""
"""Those that the notebook's own kernel has: the children of its fork server."""

LOOK = "I look.\n```repl\nprint('seen', len(context))\n```"
FOREVER = "I start.\n```repl\nx = llm_query('now')\nwhile True: pass\n```"


@pytest.fixture
def asked(
    notebook: Callable[..., OpenNotebook], server: Callable[..., StandInServer]
) -> Callable[..., OpenNotebook]:
    """`asked("x.ipynb", model, "%%rlm ...")`: a notebook, its magics loaded, a script as "m"."""

    def start(name: str, root: Any, *cells: str, sub: Any = None, app: str = "lab") -> OpenNotebook:
        running = server(script(root, sub) if sub else script(root))
        opened = notebook(name, SETUP.format(url=running.base_url), *cells, app=app)
        opened.run_cell(0)
        return opened

    return start


def value(opened: OpenNotebook, index: int) -> str:
    """Run a cell, and return what it shows as text."""
    opened.run_cell(index)
    (output,) = opened.outputs(index)
    return str(output["text"] if "text" in output else output["data"]["text/plain"])


def paragraph(opened: OpenNotebook, index: int) -> str:
    """Return the failure that a cell shows on the page: one paragraph, and no traceback."""
    error = opened.outputs(index)[-1]
    assert error["output_type"] == "error"
    shown = opened.page.locator(ERROR).filter(has_text=error["ename"]).last.inner_text().strip()
    assert shown == "\n".join(error["traceback"])
    assert "\n" not in shown
    assert "Traceback" not in shown
    return shown


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_a_cell_shows_the_run_and_then_its_answer(
    app: str, asked: Callable[..., OpenNotebook], jupyter: JupyterServer, page: Page
) -> None:
    model = Held(LOOK, "FINAL(**forty two**)")
    with model:
        opened = asked(f"ask-{app}.ipynb", model, "%%rlm -v report\nWhat is in it?", app=app)
        opened.run_cell(1, wait=False)
        page.locator(VIEW).get_by_text("What is in it?").first.wait_for()
        model.release(0)
        page.locator(VIEW).get_by_text("seen 6000", exact=True).first.wait_for()
        model.release(1)
        opened.wait()
    page.locator(VIEW).wait_for(state="detached")
    assert page.locator(ANSWER).locator("strong").inner_text() == "forty two"
    assert "2 turns" in page.locator(ANSWER).inner_text()
    view, answer = opened.outputs(1)
    assert view["data"]["text/html"].startswith("<details><summary>answered")
    assert "**forty two**" in answer["data"]["text/markdown"]
    opened.save()
    assert "widget" not in str(jupyter.read(f"ask-{app}.ipynb"))


def test_the_interrupt_button_stops_the_run_and_keeps_what_it_did(
    asked: Callable[..., OpenNotebook], page: Page
) -> None:
    running = threading.Event()
    state = "print(r.trajectory.root.finished.status, len(r.trajectory.root.cells), r.error)"
    opened = asked(
        "interrupt.ipynb",
        [FOREVER],
        *("%%rlm -v report -o r\nWhat?", state, KERNELS),
        sub=lambda _: running.set() or "ok",
    )
    opened.run_cell(1, wait=False)
    assert running.wait(60)
    page.locator(VIEW).get_by_text("while True").first.wait_for()
    page.locator("[data-jp-item-name='interrupt']").click()
    opened.wait(first=1, last=2)
    assert opened.outputs(1)[0]["data"]["text/html"].startswith("<details><summary>cancelled")
    told = paragraph(opened, 1)
    assert told.startswith("CancellationError: ")
    assert "r.trajectory" in told
    assert value(opened, 2).startswith("cancelled 1 CancellationError: ")
    assert value(opened, 3) == "[]"


def test_the_stop_button_ends_a_background_run_and_leaves_html(
    asked: Callable[..., OpenNotebook], jupyter: JupyterServer, page: Page
) -> None:
    model = Held(LOOK, "Never.")
    with model:
        model.release(0)
        opened = asked(
            "background.ipynb", model, "%%rlm -v report --bg -o job\nWhat?", "1 + 1", "job"
        )
        opened.run_cell(1)
        page.locator(VIEW).get_by_text("turn 2", exact=True).first.wait_for()
        # The cell is over, and the notebook free for others.
        assert value(opened, 2) == "2"
        page.locator(VIEW).get_by_role("button", name="Stop").click()
        page.locator(".jp-OutputArea summary").get_by_text("cancelled").first.wait_for()
    page.locator(VIEW).wait_for(state="detached")
    page.locator(".jp-OutputArea summary").first.click()
    page.locator(".jp-RenderedHTMLCommon").get_by_text("stopped by the user").wait_for()
    view, handle = opened.outputs(1)
    assert "seen 6000" in view["data"]["text/html"]
    assert view["data"]["text/html"].startswith("<details><summary>cancelled · 2 turns")
    assert "<RunHandle" in handle["data"]["text/plain"]
    assert "cancelled" in value(opened, 3)
    opened.save()
    assert "widget" not in str(jupyter.read("background.ipynb"))


def test_step_asks_in_the_cell_and_does_what_is_typed(
    asked: Callable[..., OpenNotebook], page: Page
) -> None:
    def typed(text: str, prompt: str = "[r]un, [e]dit, [s]top? ") -> None:
        page.locator(".jp-Stdin-prompt").get_by_text(prompt, exact=True).wait_for()
        box = page.locator(".jp-Stdin-input").element_handle()
        box.fill(text)
        box.press("Enter")
        box.wait_for_element_state("hidden")

    replies = ["```repl\nx = 'as it was'\n```", "```repl\nprint('now', x)\n```", FOREVER]
    cells = "[(c.started.code, c.outputs) for c in r.trajectory.root.cells]"
    opened = asked("step.ipynb", replies, "%%rlm -v report --step -o r\nWhat?", cells)
    opened.run_cell(1, wait=False)
    page.locator(".jp-OutputArea").get_by_text("x = 'as it was'").first.wait_for()
    typed("e")
    typed("x = 'edited'", "  | ")
    typed(".", "  | ")
    typed("r")
    typed("run")
    page.locator(".jp-OutputArea").get_by_text("Turn 3 wants to run").first.wait_for()
    typed("s")
    opened.wait(first=1, last=2)
    assert paragraph(opened, 1).startswith("CancellationError: ")
    ran = value(opened, 2)
    assert "x = 'edited'" in ran
    assert "now edited" in ran
    assert "as it was" not in ran
    assert "while True" not in ran


FAILURES = {
    "%%rlm -v report -o r\nWhat?": ("BackendError", "no such model", "r.trajectory"),
    "%%rlm -b anthropic -m x --base-url ''\nWhat?": ("MissingKeyError", "ANTHROPIC_API_KEY"),
    "%%rlm -v report --budget 0.001 -o b\nWhat?": ("BudgetExceededError", "--budget USD"),
}


def test_a_failure_is_one_paragraph_on_the_page(
    asked: Callable[..., OpenNotebook], page: Page
) -> None:
    prices = '%config RLMMagics.prices = {"m": (1000.0, 1000.0)}'
    unknown = "%%rlm -v reprot\nWhat?"
    opened = asked(
        "failures.ipynb",
        lambda _: LMResponse(text="no such model", status=400),
        *(prices, *FAILURES, unknown, "%rlm traceback 1"),
    )
    opened.run_cell(1)
    for index, parts in enumerate(FAILURES.values(), 2):
        opened.run_cell(index)
        told = paragraph(opened, index)
        assert [part for part in parts if part not in told] == []
    index = 2 + len(FAILURES)
    said = value(opened, index)
    assert said.startswith("UsageError: ")
    assert "report" in said
    page.locator(".jp-OutputArea").get_by_text("UsageError").wait_for()
    assert value(opened, index + 1).startswith("Traceback")


def test_a_run_is_shown_again_replayed_and_forked(
    asked: Callable[..., OpenNotebook], page: Page
) -> None:
    # Three requests in all: a replay asks nobody, and a fork only from its turn on.
    opened = asked(
        "again.ipynb",
        [LOOK, "FINAL(forty two)", "FINAL(forty three)"],
        *("%%rlm -v report --save run.json\nWhat?", "%rlm show"),
        *("%rlm replay run.json", "%rlm fork 1 2 -o other"),
    )
    opened.run_cell(1)
    opened.run_cell(2)
    page.locator(VIEW).get_by_text("print('seen'").first.click()
    page.locator(VIEW).get_by_text("seen 6000", exact=True).first.wait_for()
    assert opened.outputs(2)[1]["data"]["text/html"].startswith("<details><summary>answered")
    for index, answer in ((3, "forty two"), (4, "forty three")):
        opened.run_cell(index)
        view, shown = opened.outputs(index)
        assert view["data"]["text/html"].startswith("<details><summary>answered · 2 turns")
        assert "seen 6000" in view["data"]["text/html"]
        assert answer in shown["data"]["text/markdown"]
        page.locator(ANSWER).get_by_text(answer).last.wait_for()


def test_a_hostile_answer_does_nothing_in_a_trusted_notebook_or_when_opened_later(
    asked: Callable[..., OpenNotebook],
    notebook: Callable[..., OpenNotebook],
    jupyter: JupyterServer,
    new_page: Callable[..., Page],
    page: Page,
) -> None:
    hostile = "\n\n".join([*PAYLOADS, HOSTILE])
    answer = "```repl\nanswer['content'] = context\nanswer['ready'] = True\n```"
    opened = asked("answer.ipynb", [answer], f"text = {hostile!r}", "%%rlm -v text\nWhat?")
    watch = Watch(page, jupyter.url)
    opened.run_cell(1)
    opened.run_cell(2)
    assert opened.trusted(2)
    _, shown = opened.outputs(2)
    assert "text/markdown" in shown["data"]
    page.locator(ANSWER).get_by_text("javascript:window.hurt=1").first.wait_for()
    page.locator(".jp-OutputArea summary").first.click()
    opened.save()
    watch.assert_nothing_happened()

    # Somebody else's copy: its signature is not this server's, so it is not trusted.
    copy = jupyter.read("answer.ipynb")
    copy.cells[0].source = "# mine"
    jupyter.put("answer-copy.ipynb", copy)
    other = new_page()
    watch = Watch(other, jupyter.url)
    reopened = notebook("answer-copy.ipynb", page=other)
    assert not reopened.trusted(2)
    other.locator(ANSWER).get_by_text("javascript:window.hurt=1").first.wait_for()
    for summary in other.locator(".jp-OutputArea summary").all():
        if summary.is_visible():
            summary.click()
    watch.assert_nothing_happened()
