"""Draws `rlm.errors` as a tree: `python docs/drawings/error_tree.py` writes errors.svg."""  # noqa: INP001 - a script

from __future__ import annotations

import inspect
from pathlib import Path
from xml.sax.saxutils import escape

import rlm.errors
from rlm.errors import RLMError
from rlm.trajectory import TrajectoryError

PICTURE = Path(__file__).with_name("errors.svg")

LINE, INDENT, LEFT, TOP, WIDTH = 30, 34, 24, 24, 900

_STYLE = """
    .sheet { fill: #fff; stroke: #d0d4dc }
    .box { fill: #f5f7fb; stroke: #5b6b8c; stroke-width: 1.2 }
    .root { fill: #eee9f7; stroke: #7a66a8; stroke-width: 1.2 }
    .line { fill: none; stroke: #8a94a8; stroke-width: 1.4 }
    text { fill: #1d2433; font: 600 14px ui-monospace, 'DejaVu Sans Mono', monospace }
    .s { fill: #47506a; font: 13px system-ui, 'DejaVu Sans', sans-serif }"""


def public_errors() -> list[type[RLMError]]:
    """Return the errors that users can meet: those of `rlm.errors`, and a damaged log's."""
    named = [getattr(rlm.errors, name) for name in rlm.errors.__all__]
    return [error for error in (*named, TrajectoryError) if issubclass(error, RLMError)]


def tree(
    parent: type[RLMError], errors: list[type[RLMError]], depth: int = 0
) -> list[tuple[int, type[RLMError]]]:
    """Return the errors below one, depth first and by name, each with its depth."""
    rows = [(depth, parent)]
    for error in sorted(errors, key=lambda error: error.__name__):
        if parent in error.__bases__:
            rows += tree(error, errors, depth + 1)
    return rows


def remark(error: type[RLMError]) -> str:
    """Return what else an error is, and which attributes it has."""
    others = [base.__name__ for base in error.__bases__ if not issubclass(base, RLMError)]
    article = "an" if others and others[0][0] in "AEIO" else "a"
    also = f"also {article} {others[0]}" if others and error is not RLMError else ""
    names: list[str] = []
    if "__init__" in vars(error):
        arguments = inspect.signature(error.__init__).parameters.values()
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        names = [
            argument.name
            for argument in arguments
            if argument.name not in {"self", "message", "partial_answer"}
            and argument.kind not in variable
        ]
    if error is RLMError:
        names = ["trajectory", "partial_answer"]
    return "; ".join(part for part in (also, ", ".join(f".{name}" for name in names)) if part)


def svg() -> str:
    """Return the picture."""
    rows = tree(RLMError, public_errors())
    height = 2 * TOP + LINE * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
        "  <title>The errors of rlm as a tree</title>",
        f"  <style>{_STYLE}\n  </style>",
        f'  <rect class="sheet" x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="8"/>',
    ]
    below: dict[int, int] = {}  # depth to the y where the line to its children starts
    for number, (depth, error) in enumerate(rows):
        x, y = LEFT + INDENT * depth, TOP + LINE * number
        middle = y + LINE // 2
        if depth:
            stem = x - INDENT // 2
            parts.append(f'  <path class="line" d="M{stem} {below[depth - 1]}V{middle}H{x}"/>')
        below[depth] = y + LINE - 3
        width = round(len(error.__name__) * 8.45) + 16
        kind = "root" if depth == 0 else "box"
        parts += [
            f'  <rect class="{kind}" x="{x}" y="{y + 3}" width="{width}" height="24" rx="4"/>',
            f'  <text x="{x + 8}" y="{middle + 5}">{error.__name__}</text>',
        ]
        if said := remark(error):
            parts.append(
                f'  <text class="s" x="{x + width + 12}" y="{middle + 5}">{escape(said)}</text>'
            )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(svg())
