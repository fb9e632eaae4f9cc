"""The tables that `%rlm`, `%rlm runs`, `%rlm cost` and `%rlm models` print."""

from __future__ import annotations

import html
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm.render.outline import cost_text, dollars, seconds
from rlm.render.safe_text import one_line
from rlm.usage import ModelUsageSummary, UsageSummary
from rlm_ipython.arguments import HOW_TO_CHOOSE

if TYPE_CHECKING:
    from rlm_ipython.defaults import Defaults
    from rlm_ipython.runs import ShellRun

_CELL = 70
_SHOWN = ("backend", "model", "sub_model", "base_url", "environment", "image", "max_depth")
_LIMITS = ("max_iterations", "budget", "timeout", "tokens")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that are shown as aligned text or escaped HTML, and kept by `runs = %rlm runs`.

    Attributes:
        columns: The header.
        rows: Each has as many cells as there are columns.
        empty: The text to show when there are no rows.
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


def status(magics: Defaults) -> Table:
    """Return the defaults of `%%rlm` and the running runs."""
    rows = [(name.replace("_", "-"), str(getattr(magics, name) or "")) for name in _SHOWN]
    limits = ((name.replace("_", "-"), getattr(magics, name)) for name in _LIMITS)
    rows.append(("limits", ", ".join(f"{n} {value:,}" for n, value in limits if value is not None)))
    running = ", ".join(str(run.number) for run in magics.runs.running)
    rows += [
        ("running", running or "nothing"),
        ("kept", f"{len(magics.kept)} persistent; %rlm close ends them" if magics.kept else ""),
        ("change", HOW_TO_CHOOSE),
        ("more", "%%rlm? and %rlm? show the manuals"),
    ]
    return Table(("%rlm", ""), tuple(row for row in rows if row[1]))


def run_table(magics: Defaults) -> Table:
    """Return this shell's runs, and the live ones of other processes."""
    from rlm.live_runs import live_runs

    here = {run.handle.id for run in magics.runs if run.handle is not None}
    rows = [_row(run) for run in magics.runs]
    now = time.time()
    for live in live_runs():
        if not any(live.id.startswith(own) for own in here):
            state, took = f"running in process {live.pid}", seconds(now - live.started)
            rows.append((live.id, state, live.model, live.question, "", "", "", took))
    columns = ("ID", "status", "model", "question", "turns", "sub-calls", "cost", "time")
    return Table(columns, tuple(rows), empty="no runs yet")


def cost_table(magics: Defaults) -> Table:
    """Return what the runs that this shell started used, by model."""
    usage = UsageSummary(magics.runs.tally.summaries())
    rows = [
        _cost_row(model, summary, partial=summary.uncosted_calls > 0)
        for model, summary in sorted(usage.model_usage_summaries.items())
    ]
    if len(rows) > 1:
        rows.append(_cost_row("all", usage, partial=usage.cost_is_partial))
    columns = ("model", "calls", "tokens in", "tokens out", "cost")
    return Table(columns, tuple(rows), empty="nothing has been asked yet")


def model_table(magics: Defaults) -> Table:
    """Return models with their windows and prices, and which keys are set."""
    from rlm.backends import context_window
    from rlm.backends.providers import PROVIDERS

    rows = []
    for name in model_names(magics):
        window = context_window(name)
        price = magics.prices.get(name)
        rows.append(
            (
                name,
                f"{window:,}" if window else "unknown",
                " / ".join(dollars(float(side)) for side in price) if price else "",
                _role(name, magics),
            )
        )
    for provider in PROVIDERS.values():
        if variable := provider.key_variable:
            state = "set" if os.environ.get(variable) else "not set"
            rows.append((f"backend {provider.name}", "", "", f"${variable} is {state}"))
    return Table(("model", "window", "$ per 1M in / out", ""), tuple(rows))


def model_names(magics: Defaults) -> list[str]:
    """Return the models in use here, then well-known ones."""
    from rlm.backends.model_info import KNOWN_MODELS

    used = [magics.model, magics.sub_model, *magics.prices]
    for run in magics.runs:
        if run.trajectory.root is not None:
            used += run.trajectory.root.usage.model_usage_summaries
    return list(dict.fromkeys(filter(None, [*used, *KNOWN_MODELS])))


def _role(name: str, magics: Defaults) -> str:
    if name == magics.model:
        return "the default"
    return "the default for sub-calls" if name == magics.sub_model else ""


def _cost_row(
    name: str, usage: ModelUsageSummary | UsageSummary, *, partial: bool
) -> tuple[str, ...]:
    return (
        name,
        f"{usage.total_calls:,}",
        f"{usage.total_input_tokens:,}",
        f"{usage.total_output_tokens:,}",
        _cost(usage.total_cost, partial=partial),
    )


def _cost(cost: float | None, *, partial: bool) -> str:
    return cost_text(cost, partial=partial) or "unknown"


def _row(run: ShellRun) -> tuple[str, ...]:
    root = run.trajectory.root
    asked = run.question or (root.started.root_prompt if root is not None else "") or ""
    if root is None:
        return (str(run.number), run.status, "", asked or run.source, "", "", "", "")
    runs = list(root.walk())
    usage = root.usage
    over = root.finished.duration if root.finished is not None else None
    return (
        str(run.number),
        run.status,
        root.started.model,
        asked or run.source,
        str(sum(len(each.turns) for each in runs)),
        str(sum(len(each.sub_calls) for each in runs)),
        _cost(usage.total_cost, partial=usage.cost_is_partial),
        seconds(over if over is not None else time.time() - root.started.time),
    )
