"""JupyterLab and Notebook 7 run a notebook here at all: what the other browser tests stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_a_cell_runs(app: str, notebook: Callable[..., Any], jupyter: Any) -> None:
    opened = notebook(f"{app}.ipynb", "print(6 * 7)", app=app)
    opened.run_all()
    assert opened.outputs(0)[0]["text"] == "42\n"
    assert opened.trusted(0)
    opened.save()
    assert jupyter.read(f"{app}.ipynb").cells[0].outputs[0].text == "42\n"
