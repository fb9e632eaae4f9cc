"""Outputs as a notebook may show them: valid, and without anything that a front end would execute.

They came from a sandbox, which is hostile. Text, PNG and JPEG are shown, HTML goes through the
sanitiser, and every other mime type is only named.
"""

from __future__ import annotations

import re
from typing import Any

from rlm.render.safe_html import safe_html
from rlm.render.safe_text import one_line

_IMAGES = ("image/png", "image/jpeg")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_OVERWRITES = re.compile("[\r\b]")
"""The controls that front ends apply to a stream's text before they save it."""

_INVISIBLE = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that hide or reorder text, and half surrogate pairs, which UTF-8 cannot hold."""

_HEADING = re.compile(r'<(/?)h[1-6](?: [\w:-]+="[^"]*")*>')
"""A heading as the sanitiser writes it: the table of contents lists runs and turns only."""


class ShownOutputs:
    """The outputs of a cell as its notebook shows them.

    Texts of one stream that follow each other are one output, because front ends join them.
    """

    def __init__(self) -> None:
        self._outputs: list[dict[str, Any]] = []
        self._texts: list[str] = []

    def add(self, output: dict[str, Any]) -> None:
        """Show one more output, as a kernel sent it."""
        seen = shown_output(output)
        is_text = seen["output_type"] == "stream"
        if not (is_text and self._texts and self._outputs[-1]["name"] == seen["name"]):
            self._join_texts()
            self._texts = []
            self._outputs.append(seen)
        if is_text:
            self._texts.append(_overwritten(seen["text"]))

    def outputs(self) -> list[dict[str, Any]]:
        """Return the outputs so far."""
        self._join_texts()
        return self._outputs

    def _join_texts(self) -> None:
        """Give the last stream all of its text: once for many pieces, which are often short."""
        if self._texts:
            self._texts = ["".join(self._texts)]
            self._outputs[-1]["text"] = self._texts[0]


def shown_output(output: dict[str, Any]) -> dict[str, Any]:
    """Return an output that a sandbox sent as a notebook may show it (nbformat 4)."""
    kind = output.get("output_type")
    if kind == "error":
        lines = output.get("traceback")
        return {
            "output_type": "error",
            "ename": _text(output.get("ename")),
            "evalue": _text(output.get("evalue")),
            "traceback": [_text(line) for line in lines] if isinstance(lines, list) else [],
        }
    if kind in ("display_data", "execute_result"):
        shown = {"output_type": kind, "data": _bundle(output.get("data")), "metadata": {}}
        if kind == "execute_result":
            count = output.get("execution_count")
            shown["execution_count"] = count if type(count) is int and count >= 0 else None
        return shown
    name = output.get("name")
    text = output.get("text") if kind == "stream" else f"[an output of type {kind!r:.80}]\n"
    return {
        "output_type": "stream",
        "name": name if name in ("stdout", "stderr") else "stdout",
        "text": _text(text),
    }


def _bundle(data: Any) -> dict[str, str]:
    """Return what is shown of a mime bundle; at least a line of text."""
    data = data if isinstance(data, dict) else {}
    shown: dict[str, str] = {}
    for mime in _IMAGES:
        image = _text(data[mime]) if mime in data else ""
        # Some renderers paste it into an HTML attribute.
        if _BASE64.fullmatch(image.replace("\n", "")):
            shown[mime] = image
    if "text/html" in data:
        html = _text(data["text/html"])
        if (safe := safe_html(html)).strip():
            shown["text/html"] = _HEADING.sub(r"<\1strong>", safe)
    if "text/plain" in data:
        shown["text/plain"] = _text(data["text/plain"])
    elif not shown:
        shown["text/plain"] = f"[{', '.join(one_line(str(mime), 80) for mime in data)}]"
    return shown


def _overwritten(text: str) -> str:
    """Return a piece of text as a terminal would show it, without what was overwritten."""
    if not _OVERWRITES.search(text):
        return text
    lines = text.replace("\b", "").replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def _text(value: Any) -> str:
    text = joined_lines(value)
    text = text if isinstance(text, str) else "" if text is None else str(text)
    return text if text.isascii() else _INVISIBLE.sub(lambda found: ascii(found[0])[1:-1], text)


def joined_lines(value: Any) -> Any:
    """Return nbformat's multi-line text as one string; any other value is itself."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value
