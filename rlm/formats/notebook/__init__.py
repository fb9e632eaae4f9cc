"""A run as a notebook: the format, its writer and its reader."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.formats.notebook.edits import EditedCell
    from rlm.formats.notebook.read import Notebook, read_notebook, read_notebook_file
    from rlm.formats.notebook.write import notebook_bytes, to_notebook

__all__ = [
    "EditedCell",
    "Notebook",
    "notebook_bytes",
    "read_notebook",
    "read_notebook_file",
    "to_notebook",
]

_MODULES = {
    "EditedCell": "edits",
    "Notebook": "read",
    "notebook_bytes": "write",
    "read_notebook": "read",
    "read_notebook_file": "read",
    "to_notebook": "write",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'rlm.formats.notebook' has no attribute {name!r}")
    return getattr(importlib.import_module(f"rlm.formats.notebook.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
