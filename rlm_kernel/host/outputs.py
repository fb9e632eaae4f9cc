"""Collects what a cell publishes as notebook outputs (nbformat 4), checked and bounded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rlm_kernel.protocol.nesting import too_deep

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_OUTPUTS = 10_000
"""Outputs that one cell may have."""

SLACK = 1_000_000
"""Characters by which the host's own count may go over the kernel's limit."""


class CellOutputs:
    """The outputs of one cell.

    Args:
        limit: Characters that the kernel lets a cell write; the host counts as well.
        on_output: Called with each output when it arrives (stream text not yet joined).
    """

    def __init__(self, limit: int, on_output: Callable[[dict[str, Any]], None] | None) -> None:
        self._limit = limit + SLACK
        self._on_output = on_output
        self._outputs: list[dict[str, Any]] = []
        self._text: list[str] = []
        self._size = 0
        self._displays: dict[str, dict[str, Any]] = {}

    @property
    def overflowed(self) -> bool:
        """Whether the kernel sent more than it may."""
        return self._size > self._limit or len(self._outputs) > MAX_OUTPUTS

    def take(self, msg_type: str, content: Any) -> None:
        """Take an iopub message; drop a malformed one, and all that are over the limit."""
        output = _output(msg_type, content)
        if output is None:
            return
        self._size += _size(output)
        if self.overflowed:
            return
        transient = content.get("transient")
        display = transient.get("display_id") if isinstance(transient, dict) else None
        if msg_type == "update_display_data":
            if isinstance(display, str) and display in self._displays:
                self._displays[display].update(data=output["data"], metadata=output["metadata"])
            return
        if isinstance(display, str):
            self._displays[display] = output
        self._add(output)
        if self._on_output is not None:
            self._on_output(output)

    def collected(self) -> tuple[dict[str, Any], ...]:
        """Return the outputs; consecutive texts of one stream are one output."""
        self._join()
        return tuple(self._outputs)

    def _add(self, output: dict[str, Any]) -> None:
        if output["output_type"] == "stream":
            last = self._outputs[-1] if self._outputs else {}
            if self._text and last.get("name") == output["name"]:
                self._text.append(output["text"])
                return
            self._join()
            self._text = [output["text"]]
            self._outputs.append(dict(output))
        else:
            self._join()
            self._outputs.append(output)

    def _join(self) -> None:
        if self._text:
            self._outputs[-1]["text"] = "".join(self._text)
            self._text = []


def _output(msg_type: str, content: Any) -> dict[str, Any] | None:
    """Return the notebook output of an iopub message; None when it has none."""
    if not isinstance(content, dict):
        return None
    if msg_type == "stream":
        name, text = content.get("name"), content.get("text")
        if name in ("stdout", "stderr") and isinstance(text, str):
            return {"output_type": "stream", "name": name, "text": text}
    elif msg_type in ("execute_result", "display_data", "update_display_data"):
        data, metadata = content.get("data"), content.get("metadata")
        if isinstance(data, dict) and data:
            if too_deep(data):
                data = {mime: v for mime, v in data.items() if isinstance(v, str)} or {
                    "text/plain": "[a value that is nested too deeply to be shown]"
                }
            kind = "execute_result" if msg_type == "execute_result" else "display_data"
            if not isinstance(metadata, dict) or too_deep(metadata):
                metadata = {}
            output: dict[str, Any] = {"output_type": kind, "data": data, "metadata": metadata}
            if kind == "execute_result":
                count = content.get("execution_count")
                output["execution_count"] = count if isinstance(count, int) else None
            return output
    elif msg_type == "error":
        lines = content.get("traceback")
        return {
            "output_type": "error",
            "ename": str(content.get("ename", "")),
            "evalue": str(content.get("evalue", "")),
            "traceback": [str(line) for line in lines] if isinstance(lines, list) else [],
        }
    return None


def _size(output: dict[str, Any]) -> int:
    """Return an output's size in characters, metadata included."""
    if output["output_type"] == "stream":
        return len(output["text"])
    return len(json.dumps(output))
