"""Outputs as a notebook may show them: valid, and nothing in them that a front end would execute.

A sandbox is hostile: the mime bundle of an output may be anything. Text, PNG and JPEG are shown,
HTML is shown through the sanitiser, everything else is named. What is not shown exactly as it was
sent is kept, as text, in the cell's metadata.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlm.render.safe_html import safe_html
from rlm.render.safe_text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

_IMAGES = ("image/png", "image/jpeg")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_OVERWRITES = re.compile("[\r\b]")
"""What front ends apply to a stream's text, and save it without."""

_INVISIBLE = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that make text read other than it is, and halves of them, which no file can hold."""

_HEADING = re.compile(r'<(/?)h[1-6](?: [\w:-]+="[^"]*")*>')
"""As the sanitiser writes it: the notebook's table of contents is the tree, and nothing else."""


@dataclass(slots=True)
class Shown:
    """The outputs of a cell as its notebook shows them, and where in them each event's stands.

    Texts of one stream that follow each other are one output, because front ends join them.

    Attributes:
        outputs: For the notebook.
    """

    outputs: list[dict[str, Any]] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)
    _length: int = 0

    def add(self, output: dict[str, Any]) -> list[int | None] | None:
        """Show one more output.

        Args:
            output: As a kernel sent it.

        Returns:
            Its index; of a result also its execution count, of a stream's text where it starts and
            ends. None when what is shown is not all of it.
        """
        seen = shown_output(output)
        exact = seen == output
        if seen["output_type"] == "stream":
            return self._add_text(seen["name"], seen["text"], exact=exact)
        self._close()
        self.outputs.append(seen)
        where: list[int | None] = [len(self.outputs) - 1]
        if "execution_count" in seen:
            where.append(seen["execution_count"])
        return where if exact else None

    def images(self, output: dict[str, Any]) -> dict[str, list[Any]]:
        """Return where the images stand of an output of which not all is shown.

        Args:
            output: What was added last.
        """
        data, seen = output.get("data"), self.outputs[-1].get("data")
        if not isinstance(data, dict) or not isinstance(seen, dict):
            return {}
        same = [mime for mime in _IMAGES if mime in seen and seen[mime] == data.get(mime)]
        return {mime: [len(self.outputs) - 1, mime] for mime in same}

    def finished(self) -> list[dict[str, Any]]:
        """Return the outputs with their streams' texts joined so far."""
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        if self._texts:
            self.outputs[-1]["text"] = self._texts[0]
        return self.outputs

    def _add_text(self, name: str, text: str, *, exact: bool) -> list[int | None] | None:
        if _OVERWRITES.search(text):
            exact = False
            text = _overwritten(text)
        if not self._texts or self.outputs[-1]["name"] != name:
            self._close()
            self.outputs.append({"output_type": "stream", "name": name, "text": ""})
        start = self._length
        self._texts.append(text)
        self._length += len(text)
        return [len(self.outputs) - 1, start, self._length] if exact else None

    def _close(self) -> None:
        self.finished()
        self._texts = []
        self._length = 0


def shown_output(output: dict[str, Any]) -> dict[str, Any]:
    """Return an output as a notebook may show it (nbformat 4).

    Args:
        output: Anything that a sandbox sent.
    """
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


def outputs_digest(outputs: Iterable[dict[str, Any]]) -> str:
    """Return what tells whether outputs are still the same, whoever saved the notebook since.

    Args:
        outputs: Of a code cell; texts may be lists of lines.
    """
    kept = [
        {
            key: {mime: _joined(text) for mime, text in value.items()}
            if key == "data" and isinstance(value, dict)
            else _joined(value)
            if key == "text"
            else value
            for key, value in output.items()
            if key not in {"execution_count", "metadata"}
        }
        for output in outputs
    ]
    text = json.dumps(kept, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recorded_output(outputs: list[Any], where: Any) -> Any:
    """Return the output of an event as it was recorded, or an image of it.

    Args:
        outputs: Of the code cell.
        where: What `Shown.add` returned for it, or `Shown.images` for the image.

    Raises:
        ValueError: There is none such.
    """
    index = where[0] if isinstance(where, list) and where else None
    if type(index) is not int or not 0 <= index < len(outputs):
        raise ValueError(where)
    if not isinstance(outputs[index], dict):
        raise ValueError(where)  # noqa: TRY004 - a value of a file, no argument
    output = dict(outputs[index])
    if isinstance(output.get("data"), dict):
        output["data"] = {mime: _joined(text) for mime, text in output["data"].items()}
    match where[1:]:
        case [str() as mime]:
            return output["data"][mime]
        case [count]:
            output["execution_count"] = count
        case [int() as start, int() as end]:
            output["text"] = str(_joined(output.get("text")))[start:end]
    return output


def _bundle(data: Any) -> dict[str, str]:
    """Return what is shown of a mime bundle; at least a line of text."""
    data = data if isinstance(data, dict) else {}
    shown: dict[str, str] = {}
    for mime in _IMAGES:
        image = _text(data[mime]) if mime in data else ""
        # It is pasted into an attribute by some renderers.
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
    """Return a text as a terminal would leave it, as far as one piece of it tells."""
    lines = text.replace("\b", "").replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def _text(value: Any) -> str:
    text = _joined(value)
    text = text if isinstance(text, str) else "" if text is None else str(text)
    return text if text.isascii() else _INVISIBLE.sub(lambda found: ascii(found[0])[1:-1], text)


def _joined(value: Any) -> Any:
    """Return a notebook's multi-line text as one string."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value
