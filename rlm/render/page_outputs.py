"""A cell's outputs as HTML. They came from a sandbox and may have any shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlm.render.cell_text import joined, traceback_text
from rlm.render.safe_html import picture, safe_html, svg_image
from rlm.render.text_html import markdown_html, terminal_html

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlm.render.style import Look
    from rlm.render.text_budget import TextBudget
    from rlm.trajectory import CellNode

OUTPUTS_SHOWN = 100
"""How many outputs of one cell are shown; a loop may display thousands."""

_PICTURES = ("image/png", "image/jpeg")


def outputs_html(cell: CellNode, look: Look, budget: TextBudget) -> Iterator[str]:
    """Yield the HTML of a cell's outputs."""
    merged = list(_merged(cell.outputs))
    for kind, content in merged[:OUTPUTS_SHOWN]:
        if kind == "data":
            yield _bundle(content, look, budget)
        elif content:
            role = "text" if kind == "stdout" else "error"
            at = look.attributes[role]
            yield f"<pre{at}>{terminal_html(budget.ends(content.rstrip()))}</pre>"
    if len(merged) > OUTPUTS_SHOWN:
        more = len(merged) - OUTPUTS_SHOWN
        yield f"<div{look.attributes['note']}>… {more:,} more outputs</div>"


def _merged(outputs: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield (stdout, stderr, error or data; content), neighbouring pieces of a stream as one."""
    name, texts = "", list[str]()
    for output in outputs:
        kind = output.get("output_type")
        if kind == "stream":
            of = "stderr" if output.get("name") == "stderr" else "stdout"
            if texts and of != name:
                yield name, "".join(texts)
                texts = []
            name = of
            texts.append(joined(output.get("text")))
            continue
        if texts:
            yield name, "".join(texts)
            texts = []
        if kind == "error":
            yield "error", traceback_text(output)
        elif isinstance(output.get("data"), dict):
            yield "data", output["data"]
    if texts:
        yield name, "".join(texts)


def _bundle(data: dict[str, Any], look: Look, budget: TextBudget) -> str:
    """Return the richest form of a mime bundle that is safe to show."""
    rich = look.attributes["rich"]
    for mime in _PICTURES:
        if mime in data and budget.holds(image := joined(data[mime])):
            return f"<div{rich}>{picture(mime, image)}</div>"
    for mime, render in (("image/svg+xml", svg_image), ("text/html", safe_html)):
        if mime in data and budget.holds(markup := joined(data[mime])):
            return f"<div{rich}>{render(markup)}</div>"
    if "text/markdown" in data:
        shown, note = budget.head(joined(data["text/markdown"]))
        return f"<div{rich}>{markdown_html(shown, classes=look.classes)}{note}</div>"
    text = look.attributes["text"]
    kinds = ", ".join(map(str, data))
    plain = joined(data["text/plain"]) if "text/plain" in data else f"[{kinds}]"
    return f"<pre{text}>{terminal_html(budget.ends(plain))}</pre>"
