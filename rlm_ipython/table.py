"""A small table: aligned text in a terminal, an HTML table in a notebook, all of it escaped."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from rlm.render.safe_text import one_line

_CELL = 70


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for people; also a value, so `runs = %rlm runs` holds them.

    Attributes:
        columns: The head.
        rows: As many cells each.
        empty: What is said when there are no rows.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str = ""

    def __str__(self) -> str:
        if not self.rows:
            return self.empty
        lines = [self.columns, *(tuple(one_line(cell, _CELL) for cell in row) for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - IPython's protocol
        printer.text(str(self))

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<i>{html.escape(self.empty)}</i>"
        left = ' style="text-align:left"'
        head = "".join(f"<th{left}>{html.escape(name)}</th>" for name in self.columns)
        rows = [[html.escape(one_line(cell, _CELL)) for cell in row] for row in self.rows]
        cells = ("".join(f"<td{left}>{cell}</td>" for cell in row) for row in rows)
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
