"""A notebook with `%%rlm` cells, executed by nbclient: what it holds afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook

from rlm.demo.server import script

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rlm.demo.server import StandInServer

LOOK = "```repl\nx = llm_query('hey')\nprint(HOSTILE)\n```"
DONE = "```repl\nanswer['content'] = HOSTILE\nanswer['ready'] = True\n```"
HOSTILE = (
    "# Found\n\n<script>window.hacked = 1</script><img src=x onerror=alert(1)>\n\n"
    "[a](javascript:alert(1)) ![b](http://evil.example/pixel.png) \x1b[2J \u202egnp.exe\n"
)


@pytest.fixture
def execute(tmp_path: Path, server: Callable[..., StandInServer], monkeypatch: Any) -> Any:
    """Execute cells in a new kernel; return the notebook that is saved."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))

    def run(root: Any, *cells: str, widgets: bool = True) -> Any:
        model = server(script(root))
        first = f"%load_ext rlm_ipython\n%config RLMMagics.base_url = {model.base_url!r}"
        if not widgets:
            first += "\nimport sys; sys.modules['anywidget'] = None"
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in (first, *cells)])
        client = NotebookClient(notebook, timeout=60, kernel_name="python3")
        client.create_kernel_manager()
        client.km.transport = "ipc"
        client.km.ip = str(tmp_path / "k")
        try:
            client.execute()
        finally:
            run.notebook = notebook  # type: ignore[attr-defined]
        return notebook

    return run


@pytest.mark.parametrize("widgets", [True, False])
def test_a_saved_notebook_holds_the_answer_and_the_run_without_any_script(
    execute: Any, *, widgets: bool
) -> None:
    replies = [reply.replace("HOSTILE", repr(HOSTILE)) for reply in (LOOK, DONE)]
    notebook = execute(replies, "%%rlm -m m -o r\nWhat?", widgets=widgets)
    run, value = notebook.cells[1].outputs
    assert set(run.data) == {"text/html", "text/plain"}
    assert run.data["text/plain"].startswith("answered · 2 turns · 1 sub-call · ")
    assert value.output_type == "execute_result"
    assert value.data["text/markdown"].startswith("# Found")
    nbformat.validate(notebook)
    for text in (run.data["text/html"], value.data["text/markdown"]):
        assert "<script" not in text
        assert "<img" not in text
        assert 'href="javascript' not in text
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "](javascript" not in value.data["text/markdown"]
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert "<h1" in page
    assert ">Found<" in page
    assert "<details><summary>answered · 2 turns · 1 sub-call · " in page
    assert "llm_query" in page.partition("<details>")[2]
    assert "window.hacked = 1</script>" not in page
    assert "<img src=x" not in page
    assert 'src="http://evil.example' not in page


def test_run_all_stops_at_a_run_that_fails_and_says_why_in_one_paragraph(execute: Any) -> None:
    with pytest.raises(CellExecutionError) as caught:
        execute([DONE], "%%rlm -m m --tokens 10\nWhat?", "1 / 0")
    assert caught.value.ename == "TokenLimitExceededError"
    [error] = [o for o in execute.notebook.cells[1].outputs if o.output_type == "error"]
    assert len(error.traceback) == 1
    assert "\n" not in error.traceback[0]
    assert execute.notebook.cells[2].outputs == []


def test_a_background_run_is_awaited_in_a_later_cell(execute: Any) -> None:
    done = DONE.replace("HOSTILE", "context.upper()")
    notebook = execute([done], "%%rlm -m m --bg -o job\nWhat?", "(await job).answer")
    assert notebook.cells[2].outputs[0].data["text/plain"] == "'WHAT?'"
