"""The first cell of a run's notebook: it restores the REPL, so that the cells below run again."""

from __future__ import annotations

import hashlib
import json
import textwrap
import zlib
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlm_kernel.inside.recorded_calls import PREVIEW, RecordedCall
from rlm_kernel.inside.restored import SCHEMA, code_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rlm.trajectory import RunNode, SubCallNode, Trajectory

MAX_CELL = 1_000_000
"""Characters that the cell's payload has at most; a longer one goes into a side file."""

_LINE = 100

_HEAD = """\
# Gives this kernel what the run's REPL had (context, answer, llm_query, ...), so that the cells
# below run again with the recorded replies: Run All, offline and without a key. Needs rlm-kernel.
# The payload is compressed JSON: data only.
from rlm_kernel.inside.restored import restore
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCell:
    """The cell, and what it needs beside the notebook.

    Attributes:
        source: The cell's code.
        files: Files to write, by their paths relative to the notebook's folder; mostly none.
    """

    source: str
    files: Mapping[str, bytes] = field(default_factory=dict)


def restore_cell(
    trajectory: Trajectory, name: str = "run", *, context_file: str | None = None
) -> RestoreCell:
    """Return the cell that restores the REPL of a trajectory's root run.

    Args:
        trajectory: Finished or not; it has a root run.
        name: The notebook's name without its suffix; side files go to the folder ``NAME.rlm``.
        context_file: The side file that has the context, relative to the notebook, if any.
    """
    root = trajectory.root
    assert root is not None
    data = zlib.compress(
        json.dumps(_payload(root, context_file), separators=(",", ":")).encode(), 9
    )
    text = b64encode(data).decode()
    context = _context_argument(root, context_file)
    setup = root.started.config.get("environment_kwargs", {}).get("setup_code")
    tail = f"\n# The run's own setup_code:\n{setup}\n" if isinstance(setup, str) else ""
    if len(text) <= MAX_CELL:
        lines = "\n".join(f"    {line}" for line in textwrap.wrap(text, _LINE - 4))
        call = f'restore(\n    """\n{lines}\n    """{context}\n)\n'
        return RestoreCell(source=f"{_HEAD}\n{call}{tail}".rstrip())
    file, digest = f"{name}.rlm/replies.json.z", hashlib.sha256(data).hexdigest()
    call = f"restore(\n    file={json.dumps(file)},\n    sha256={json.dumps(digest)}{context},\n)\n"
    return RestoreCell(source=f"{_HEAD}\n{call}{tail}".rstrip(), files={file: data})


def _context_argument(root: RunNode, context_file: str | None) -> str:
    """Return the argument that asks the person for a context that is nowhere."""
    if "value" in root.context or context_file:
        return ""
    return ',\n    # context=pathlib.Path("FILE"),  # the notebook does not hold it: give it here'


def _payload(root: RunNode, context_file: str | None) -> dict[str, Any]:
    config = root.started.config
    settings = config.get("settings") or {}
    models = settings.get("models") or [root.started.model]
    about = dict(root.context)
    about.pop("preview", None)
    if context_file:
        about["file"] = context_file
    counts = [cell.finished.execution_count for cell in root.cells if cell.finished]
    first = next((count for count in counts if isinstance(count, int)), 1)
    return {
        "schema": SCHEMA,
        "model": models[0],
        "recursion": root.started.depth + 1 < int(config.get("max_depth") or 1),
        "tools": [
            tool["name"] for tool in settings.get("custom_tools", ()) if tool.get("function")
        ],
        "context": about,
        "count": first,
        "setup": _calls(root.setup_calls),
        "cells": [
            {
                "code": code_digest(cell.started.code),
                "place": f"turn {turn.started.number}, cell {cell.started.number}",
                "calls": _calls(cell.sub_calls),
            }
            for turn in root.turns
            for cell in turn.cells
        ],
    }


def _calls(calls: Sequence[SubCallNode]) -> list[list[Any]]:
    """Return calls as the cell needs them: of a prompt its hash and its beginning."""
    found = []
    for call in calls:
        started, finished = call.started, call.finished
        if finished is None:
            continue
        known = RecordedCall.of(started.kind, started.model, started.prompt, place="", outcome=None)
        masked = None if known.masked == known.digest else known.masked
        error = finished.error if started.kind == "tool" else None
        found.append(
            [
                started.kind,
                started.model,
                known.digest,
                masked,
                known.text[:PREVIEW],
                finished.response,
                error,
            ]
        )
    return found
