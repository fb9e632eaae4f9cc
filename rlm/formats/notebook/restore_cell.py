"""The first cell of a run's notebook: it restores the REPL, so that the cells below run again."""

from __future__ import annotations

import hashlib
import json
import textwrap
import zlib
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from rlm.formats.notebook.sidecar import context_file, side_folder
from rlm.trajectory.files import replace_file
from rlm.trajectory.models_asked import default_model, models_before
from rlm_kernel.recorded_calls import SCHEMA, RecordedCall, code_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rlm.trajectory import RunNode, SubCallNode, Trajectory

MAX_CELL = 1_000_000
"""Characters that the cell's payload has at most; a longer one goes into a side file."""

_LINE = 4_000
"""Characters of one line of the payload: front ends and diffs prefer few long lines."""

_CONTEXT_ARGUMENT = """,
    # context=pathlib.Path("FILE"),  # the notebook does not hold it: give it here"""

_HEAD = """\
# Gives this kernel what the run's REPL had (context, answer, llm_query, ...), so that the cells
# below run again with the recorded replies: Run All, offline and without a key. Needs rlm-kernel.
# The payload is compressed JSON: data only.
"""

_IMPORT = "from rlm_kernel.guest.restore import restore\n"


def restore_cell(trajectory: Trajectory, path: Path) -> str:
    """Return the code of the cell that restores the REPL of a trajectory's root run.

    Replies that do not fit into it go to a file of the folder ``NAME.rlm`` next to the notebook
    ``path``. If the context was written there, the cell uses that file.

    Raises:
        OSError: That file cannot be written.
    """
    root = trajectory.root
    assert root is not None
    context = context_file(root.context, path)
    side_file = None if context is None else f"{context.parent.name}/{context.name}"
    payload = json.dumps(_payload(root, side_file), separators=(",", ":"))
    data = zlib.compress(payload.encode(), 9)
    missing = "" if "value" in root.context or side_file else _CONTEXT_ARGUMENT
    setup = _mapping(root.started.config.get("environment_kwargs")).get("setup_code")
    tail = f"\n# The run's own setup_code:\n{setup}\n" if isinstance(setup, str) else ""
    text = b64encode(data).decode()
    if len(text) <= MAX_CELL:
        lines = "\n".join(textwrap.wrap(text, _LINE))
        call = f'restore(\n    """\n{lines}\n"""{missing}\n)\n'
    else:
        file = side_folder(path) / "replies.json.z"
        file.parent.mkdir(exist_ok=True)
        replace_file(file, data)
        name, digest = f"{file.parent.name}/{file.name}", hashlib.sha256(data).hexdigest()
        call = f"restore(\n    file={name!r},\n    sha256={digest!r}{missing},\n)\n"
    path_too = "import pathlib\n\n" if missing else ""
    return f"{_HEAD}{path_too}{_IMPORT}\n{call}{tail}".rstrip()


def _payload(root: RunNode, side_file: str | None) -> dict[str, Any]:
    config = root.started.config
    settings = _mapping(config.get("settings"))
    depth = config.get("max_depth")
    tools = settings.get("custom_tools")
    about = dict(root.context)
    about.pop("preview", None)
    if side_file:
        about["file"] = side_file
    counts = [cell.finished.execution_count for cell in root.cells if cell.finished]
    first = next((count for count in counts if isinstance(count, int)), 1)
    return {
        "schema": SCHEMA,
        "model": default_model(root),
        "models_before": models_before(root),
        "recursion": isinstance(depth, int) and root.started.depth + 1 < depth,
        "tools": [
            str(tool.get("name"))
            for tool in (tools if isinstance(tools, list) else ())
            if isinstance(tool, dict) and tool.get("function")
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
    """Return calls as `Run All` needs them: the hash of the prompt, and the reply."""
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
                "",  # Where 0.1 kept the beginning of the prompt; the record has all of it.
                finished.response,
                error,
            ]
        )
    return found


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
