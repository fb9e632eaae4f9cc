"""Run All in JupyterLab, on a run's notebook: the outputs of the run, offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rlm import RLM
from rlm.demo.server import StandInServer, script
from rlm.trajectory.comparison import compare_outputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_app import JupyterServer

TURNS = [
    "I look.\n```repl\nprint(len(context), llm_query_batched(['a', 'b', 'a']))\n```",
    "I fail.\n```repl\ncontext = 'changed'\n1 / 0\n```",
    "I go on.\n```repl\nprint(context)\nSHOW_VARS()\n```",
    "```repl\nanswer['content'] = await allm_query('last')\nanswer['ready'] = True\nanswer\n```",
]


@pytest.mark.parametrize("kernel", ["rlm", "python3"])
def test_run_all_in_lab_gives_the_outputs_of_the_run(
    notebook: Callable[..., Any], jupyter: JupyterServer, kernel: str
) -> None:
    with StandInServer(script(TURNS, str.upper)) as server:
        kwargs = {"model_name": "m", "base_url": server.base_url, "api_key": "k"}
        with RLM(backend_kwargs=kwargs) as rlm:
            trajectory = rlm.completion("The context.", root_prompt="What?").trajectory
    name = f"run-{kernel}.ipynb"
    trajectory.save(jupyter.root / name)
    saved = jupyter.read(name)
    saved.metadata.kernelspec.name = kernel
    for cell in saved.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    jupyter.put(name, saved)
    opened = notebook(name)
    code = [i for i, cell in enumerate(saved.cells) if cell.cell_type == "code"]
    opened.run_all(wait=False)
    # The cell that restores the REPL has no number: the first of the run's own has its 1.
    opened.wait(first=code[1])
    assert saved.cells[code[0]].id == "restore"
    assert opened.outputs(code[0]) == []
    for index, recorded in zip(code[1:], trajectory.root.cells, strict=True):
        assert compare_outputs(recorded.outputs, opened.outputs(index)) == ()
