"""`%%rlm` in a real Jupyter kernel: what a front end is sent, interrupts, background runs."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import pytest
from live_kernel import LiveKernel, opened, shown

from rlm.demo.server import script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rlm.demo.server import StandInServer

DONE = "```repl\nanswer['content'] = str(context)\nanswer['ready'] = True\n```"
ASLEEP = "```repl\nimport time; time.sleep(600)\n```"
FOREVER = "Let me think.\n```repl\nx = llm_query('now')\nwhile True: pass\n```"
LET_GO = "not [t for t in __import__('threading').enumerate() if 'rlm-bg' in t.name]"
"""Whether nothing is held for a run in the background any more."""


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[LiveKernel]:
    with opened(tmp_path) as live:
        yield live


@pytest.fixture
def model(kernel: LiveKernel, server: Callable[..., StandInServer]) -> Callable[..., StandInServer]:
    """Let a script answer in the kernel, as the model that is called "m"."""

    def answers(root: Any, sub: Any = lambda _: "ok") -> StandInServer:
        running = server(script(root, sub))
        kernel.run("%config RLMMagics.model = 'm'")
        kernel.run(f"%config RLMMagics.base_url = {running.base_url!r}")
        return running

    return answers


def kernels_of(kernel: LiveKernel) -> list[psutil.Process]:
    """Return the kernels that the notebook's own kernel has: children of its fork server."""
    pid = kernel.manager.provisioner.pid  # type: ignore[union-attr]
    servers = psutil.Process(pid).children()
    found = []
    for server in servers:
        with suppress(psutil.NoSuchProcess):  # it ended while it was looked at
            found += server.children()
    return found


def test_a_front_end_is_sent_one_line_that_opens_and_the_answer(
    kernel: LiveKernel, model: Any
) -> None:
    model(["```repl\nx = llm_query('hey')\nx\n```", DONE])
    messages = kernel.run("%%rlm\n# What?\n<b>bold</b>")
    values = [m for m in messages if m["type"] == "execute_result"]
    assert len(values) == 1
    assert "<b>" not in values[0]["data"]["text/markdown"]
    first = next(m for m in messages if m["type"] == "display_data")
    last = [m for m in messages if m["type"] == "update_display_data"][-1]
    assert first["transient"] == last["transient"]
    page = last["data"]["text/html"]
    assert page.startswith("<details>")
    assert "llm_query" in page
    assert "<script" not in page
    assert last["data"]["text/plain"].startswith("answered · 2 turns · 1 sub-call · ")
    assert not [m for m in messages if m["type"] == "stream"]


@pytest.mark.parametrize(
    "how", ["import sys; sys.modules['anywidget'] = None", "%config RLMMagics.widget = False"]
)
def test_where_there_are_no_widgets_one_output_is_rewritten(
    kernel: LiveKernel, model: Any, how: str
) -> None:
    kernel.run(how)
    told = threading.Event()

    def slow(_: str) -> str:
        assert told.wait(30)
        return "ok"

    def heard(message: dict[str, Any]) -> None:
        if "llm_query · m · 1 running" in message.get("data", {}).get("text/html", ""):
            told.set()

    model(["```repl\nx = llm_query('<b>hey</b>')\n```", DONE], slow)
    messages = kernel.run("%%rlm\nWhat?", during=heard)
    assert told.is_set()
    assert len([m for m in messages if m["type"] == "display_data"]) == 1
    last = [m for m in messages if m["type"] == "update_display_data"][-1]
    assert last["data"]["text/html"].startswith("<details>")
    assert "<b>hey</b>" not in last["data"]["text/html"]
    messages += kernel.run("%rlm show 1")
    assert "answered · 2 turns · " in shown(messages)[-1]
    assert not [m for m in messages if "application/vnd.jupyter.widget-view+json" in str(m)]


def test_the_interrupt_button_stops_the_run_and_keeps_its_record(
    kernel: LiveKernel, model: Any
) -> None:
    running = threading.Event()
    model([FOREVER], lambda _: running.set() or "ok")
    messages = kernel.interrupted("%%rlm -o r\nWhat?", when=running)
    error = next(m for m in messages if m["type"] == "error")
    assert error["ename"] == "CancellationError"
    assert len(error["traceback"]) == 1
    assert "r.trajectory" in error["traceback"][0]
    assert kernel.value("r.trajectory.root.finished.status") == "'cancelled'"
    assert kernel.value("len(r.trajectory.root.cells)") == "1"
    assert kernel.value("r.error").startswith("'CancellationError: ")
    assert kernels_of(kernel) == []
    assert kernel.value("1 + 1") == "2"


def test_a_background_run_returns_at_once_and_can_be_awaited(
    kernel: LiveKernel, model: Any
) -> None:
    gate = threading.Event()

    def reply(_: Any) -> str:
        assert gate.wait(30)
        return DONE

    model(reply)
    messages = kernel.run("%%rlm --bg -o r\nWhat?")
    assert "<RunHandle" in shown(messages)[-1]
    assert kernel.value("r.done") == "False"
    gate.set()
    assert kernel.value("(await r).answer") == "'What?'"
    assert kernel.value("r.answer, r.error") == "('What?', None)"


def test_awaiting_a_failed_background_run_prints_one_paragraph(
    kernel: LiveKernel, model: Any
) -> None:
    model([DONE])
    kernel.run("%%rlm --bg -o r --tokens 10\nWhat?")
    for cell in ("await r", "r.result()"):
        error = next(m for m in kernel.run(cell) if m["type"] == "error")
        assert error["ename"] == "TokenLimitExceededError"
        [told] = error["traceback"]
        assert "Allow more with --tokens N." in told
        assert "r.trajectory" in told
        assert "\n" not in told
    assert "Traceback (most recent call last)" in shown(kernel.run("%rlm traceback"))[0]
    assert kernel.value("r.error is get_ipython().magics_manager.registry['RLMMagics'].last_error")


def test_an_awaited_background_run_is_already_saved_and_shown(
    kernel: LiveKernel, model: Any, tmp_path: Path
) -> None:
    model([DONE])
    file = tmp_path / "r.json"
    messages = kernel.run(f"%%rlm --bg -o r --save {file}\nWhat?")
    messages += kernel.run(f"import os\nawait r\nos.path.getsize({str(file)!r}) > 0")
    assert shown(messages)[-1] == "True"
    updates = [m for m in messages if m["type"] == "update_display_data"]
    assert updates[-1]["data"]["text/html"].startswith("<details>")


FRONT_END_GONE = """
import logging
logging.getLogger("rlm").addHandler(logging.NullHandler())
publish, lost = get_ipython().display_pub.publish, []

def to_nobody(data, *args, update=False, **options):
    if "text/html" in data and update is {update}:
        lost.append(data)
        raise OSError("the front end is gone")
    return publish(data, *args, update=update, **options)

get_ipython().display_pub.publish = to_nobody
%config RLMMagics.widget = False
"""


@pytest.mark.parametrize("update", [False, True])
def test_a_background_run_that_cannot_be_shown_is_still_saved(
    kernel: LiveKernel, model: Any, tmp_path: Path, update: bool
) -> None:
    gate = threading.Event()

    def reply(_: Any) -> str:
        assert gate.wait(30)
        return DONE

    model(reply)
    kernel.run(FRONT_END_GONE.format(update=update))
    file = tmp_path / "r.json"
    kernel.run(f"%%rlm --bg -o r --save {file}\nWhat?")
    kernel.until("lost")
    gate.set()
    assert kernel.value("(await r).answer") == "'What?'"
    assert file.stat().st_size > 0
    kernel.until(LET_GO)
    assert kernels_of(kernel) == []


def test_several_background_runs_go_on_at_once(kernel: LiveKernel, model: Any) -> None:
    model(lambda request: DONE if "zebra" in str(request.body) else ASLEEP)
    kernel.run("%%rlm --bg -o a --quiet\nsecond")
    kernel.run("%%rlm --bg -o b --quiet\nthird")
    kernel.run("word = 'text'")
    assert shown(kernel.run("%%rlm -v word\nzebra"), "text/markdown")
    kernel.until("a.trajectory.root.cells and b.trajectory.root.cells")
    listed = shown(kernel.run("%rlm runs"))[0]
    assert listed.count("running") == 2
    assert "answered" in listed
    assert "%rlm stop ID" in shown(kernel.run("%rlm stop"))[0]
    assert "stopped: run 1" in shown(kernel.run("%rlm stop 1"))[0]
    assert kernel.value("a.done, b.done") == "(True, False)"
    assert "stopped: run 2" in shown(kernel.run("%rlm stop"))[0]
    kernel.until("b.done")
    kernel.until(LET_GO)
    assert kernels_of(kernel) == []


def test_unloading_stops_background_runs(kernel: LiveKernel, model: Any) -> None:
    model([FOREVER])
    kernel.run("%%rlm --bg -o r --quiet\nWhat?")
    kernel.until("r.trajectory.root and r.trajectory.root.cells")
    kernel.run("%unload_ext rlm_ipython")
    assert kernel.value("r.done") == "True"
    assert "not found" in "".join(shown(kernel.run("%rlm")))


def test_step_asks_before_each_cell(kernel: LiveKernel, model: Any) -> None:
    server = model(["```repl\nx = 'as it was'\n```", DONE])
    kernel.typed = ["what", "e", "x = 'edited'", ".", "run", "r"]
    messages = kernel.run("%%rlm --step -o r\nWhat?")
    assert kernel.typed == []
    assert kernel.asked[0] == "[r]un, [e]dit, [s]top? "
    assert "  | x = 'as it was'\n" in "".join(shown(messages))
    cells = kernel.value("[c.started.code for c in r.trajectory.root.cells][0]")
    assert cells == "\"x = 'edited'\""
    assert len(server.requests) == 2


def test_step_stops_the_run_when_told_to(kernel: LiveKernel, model: Any) -> None:
    model([FOREVER])
    kernel.typed = ["s"]
    messages = kernel.run("%%rlm --step -o r\nWhat?")
    assert next(m for m in messages if m["type"] == "error")["ename"] == "CancellationError"
    assert kernel.value("r.trajectory.root.cells") == "[]"


def test_approve_asks_where_completion_is_waited_for(kernel: LiveKernel, model: Any) -> None:
    server = model([DONE])
    kernel.typed = ["y"]
    kernel.run(
        "from rlm import RLM; from rlm.api.approval import ask\n"
        f"kwargs = {{'model_name': 'm', 'base_url': {server.base_url!r}}}\n"
        "with RLM(backend_kwargs=kwargs, approve=ask) as rlm:\n"
        "    result = rlm.completion('text')"
    )
    assert kernel.asked == ["[r]un, [e]dit, [s]top? "]
    assert kernel.value("result.answer") == "'text'"
