"""What the model sees of a cell's output: bounded text, and images if it takes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm.render.safe_text import truncate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SHOWN_CHARACTERS = 20_000
_NAMES_SHOWN = 200
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_IMAGES = ("image/png", "image/jpeg")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """What the model sees of one cell: text, and images as `data:` URLs."""

    text: str
    images: tuple[str, ...] = ()


def model_view(
    outputs: Sequence[dict[str, Any]],
    variables: Iterable[str],
    *,
    dropped: int = 0,
    remarks: Sequence[str] = (),
    head_only: bool = False,
) -> ModelView:
    """Return a cell's output, our remarks and the variables' names, as the model reads them.

    Args:
        outputs: The cell's outputs (nbformat 4).
        variables: Names of the model's variables after the cell.
        dropped: How many characters the cell wrote beyond its limit.
        remarks: Our sentences about the cell, such as that it ran out of time.
        head_only: Whether a long output loses its end, not its middle.
    """
    parts = []
    if text := "".join(_texts(outputs)).rstrip("\n"):
        parts.append(truncate(text, SHOWN_CHARACTERS, head_only=head_only))
    if dropped:
        parts.append(f"[The cell wrote too much: {dropped:,} more characters were dropped.]")
    parts.extend(remarks)
    if names := list(variables):
        more = len(names) - _NAMES_SHOWN
        listed = ", ".join(map(repr, names[:_NAMES_SHOWN])) + (f", ... + {more}" * (more > 0))
        parts.append(f"REPL variables: [{listed}]")
    return ModelView(text="\n\n".join(parts) or "No output", images=tuple(_images(outputs)))


def _texts(outputs: Sequence[dict[str, Any]]) -> Iterable[str]:
    """Yield the text of each output; results and errors start and end with a line break."""
    fresh_line = True
    for output in outputs:
        kind = output.get("output_type")
        if kind == "stream":
            text = _joined(output.get("text", ""))
        elif kind == "error":
            text = "\n".join(output.get("traceback") or ()) or (
                f"{output.get('ename', 'Error')}: {output.get('evalue', '')}"
            )
        else:
            text = _bundle_text(output.get("data") or {})
        text = _ANSI.sub("", text)
        if not text:
            continue
        if kind != "stream":
            text = f"{'' if fresh_line else chr(10)}{text}\n"
        fresh_line = text.endswith("\n")
        yield text


def _bundle_text(data: dict[str, Any]) -> str:
    """Return the plain text of a mime bundle, else its Markdown, else its types."""
    if "text/plain" in data:
        return _joined(data["text/plain"])
    if "text/markdown" in data:
        return _joined(data["text/markdown"])
    return f"[{', '.join(sorted(data))}]" if data else ""


def _images(outputs: Sequence[dict[str, Any]]) -> Iterable[str]:
    for output in outputs:
        data = output.get("data") or {}
        for mime in _IMAGES:
            if mime in data:
                yield f"data:{mime};base64,{_joined(data[mime]).replace(chr(10), '')}"
                break


def _joined(text: Any) -> str:
    """Return nbformat's multiline text, a string or a list of strings, as one string."""
    return "".join(map(str, text)) if isinstance(text, list | tuple) else str(text)
