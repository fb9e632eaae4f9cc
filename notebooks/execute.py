"""Executes the notebooks and writes their outputs: `python notebooks/execute.py [NAME...]`.

`tests/integration/test_notebooks.py` executes them the same way and compares.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent


def executed(path: Path) -> Any:
    """Return a notebook with the outputs that its cells have now."""
    # A kernel of this interpreter, whatever kernelspecs are installed; no frozen-module warning
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook: Any = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": FOLDER}}
    )
    client.record_timing = False
    with tempfile.TemporaryDirectory(prefix="nb-") as folder:
        manager: Any = client.create_kernel_manager()
        manager.transport, manager.ip = "ipc", f"{folder}/s"  # plain TCP would be anyone's to read
        client.execute()
    return notebook


_CHANGING = (
    (re.compile(r"\b\d+(\\?\.\d+)?( ms| s|:\d\d)\b"), "TIME"),
    (re.compile(r"[\d,]+ tokens in, [\d,]+ out"), "TOKENS"),
    (re.compile(r"0x[0-9a-f]+"), "ADDRESS"),
    (re.compile(r"\b[0-9a-f]{12}(-\d+)?\b"), "ID"),
)


def said(notebook: Any) -> list[list[str]]:
    """Return what each code cell shows as text, without times and ids; a picture is its type."""
    return [
        [text for output in cell.outputs for text in _texts(output)]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def _texts(output: Any) -> list[str]:
    if output.output_type == "stream":
        texts = [output.text]
    elif output.output_type == "error":
        texts = [output.ename]
    elif output.output_type == "display_data" and "text/html" in output.data:
        texts = ["a view of a run"]
    elif "text/markdown" in output.data:
        texts = [output.data["text/markdown"]]
    elif "image/png" in output.data:
        texts = ["a picture"]
    else:
        texts = [output.data.get("text/plain", "")]
    return [_steady(text) for text in texts]


def _steady(text: str) -> str:
    for pattern, name in _CHANGING:
        text = pattern.sub(name, text)
    return text


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:] or sorted(FOLDER.glob("*.ipynb"))):
        nbformat.write(executed(path), path)
        print(path)
