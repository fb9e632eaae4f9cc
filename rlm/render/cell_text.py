"""Outputs and JSON values as plain text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rlm.render.safe_text import without_ansi

if TYPE_CHECKING:
    from rlm.trajectory import CellNode


def streams(cell: CellNode) -> tuple[str, str]:
    """Return (stdout, stderr) of a cell: values and displays in stdout, tracebacks in stderr.

    The outputs came from a sandbox: they may have any shape.
    """
    stdout: list[str] = []
    stderr: list[str] = []
    for output in cell.outputs:
        kind = output.get("output_type")
        if kind == "stream":
            target = stderr if output.get("name") == "stderr" else stdout
            target.append(joined(output.get("text")))
        elif kind == "error":
            stderr.append(f"{without_ansi(traceback_text(output))}\n")
        else:
            stdout.append(_shown(output.get("data")))
    if cell.finished is not None and cell.finished.status in {"interrupted", "timeout", "died"}:
        # A log has no other place for it, and people look for errors here.
        stderr.append(f"[cell {cell.finished.status}]\n")
    return "".join(stdout), "".join(stderr)


def joined(text: Any) -> str:
    """Return nbformat's multi-line text, which is a string or a list of strings."""
    return "".join(map(str, text)) if isinstance(text, list | tuple) else str(text or "")


def traceback_text(output: dict[str, Any]) -> str:
    """Return an error output's traceback, colours included; without one, its name and value."""
    lines = output.get("traceback")
    if not isinstance(lines, list | tuple) or not lines:
        lines = [f"{output.get('ename', 'Error')}: {output.get('evalue', '')}"]
    return "\n".join(map(str, lines))


def text_of(value: Any, *, indent: int | None = None) -> str:
    """Return a JSON value as text: a string is itself, None is empty, the rest is JSON."""
    if isinstance(value, str):
        return value
    return (
        "" if value is None else json.dumps(value, ensure_ascii=False, default=repr, indent=indent)
    )


def _shown(data: Any) -> str:
    """Return what a mime bundle shows in text; an image is named, never copied."""
    if not isinstance(data, dict) or not data:
        return ""
    if "text/plain" in data:
        return joined(data["text/plain"]) + "\n"
    return f"[{', '.join(map(str, data))}]\n"
