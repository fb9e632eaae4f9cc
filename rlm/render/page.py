"""A run as a page or a fragment of HTML: question, answer, how it ended, then the tree."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from rlm.render.outline import context_text, cost_text, summary
from rlm.render.page_tree import TreeWriter
from rlm.render.safe_text import one_line
from rlm.render.style import Look, style_sheet
from rlm.render.text_budget import TextBudget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rlm.trajectory import RunNode, Trajectory

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""What a page may load and run (its content security policy): its own style, its own images."""

_HEADLINE = 140
"""Characters; a longer question is no headline."""

_ENDED = {
    "answered": "answered",
    "exhausted": "answered when asked outright: all turns were used up",
    "limit": "stopped by a limit",
    "error": "ended in an error",
    "cancelled": "stopped by the user",
}


def html_content(trajectory: Trajectory, _path: Path) -> bytes:
    """Return a page as the content of an ``.html`` file."""
    return page(trajectory).encode()


def page(trajectory: Trajectory) -> str:
    """Return a trajectory as a whole HTML document that needs no network and has no script.

    It follows the reader's choice of light or dark. Long texts are cut with a note; the
    document stays below about 25 MB whatever the run was.
    """
    writer = TreeWriter(
        look=Look.sheet(),
        budget=TextBudget(total=8_000_000, each=20_000, calls=10_000),
        turns_open=True,
    )
    root = trajectory.root
    question = "no run yet" if root is None else root.started.root_prompt or root.started.model
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(one_line(question, 80))}</title>\n<style>\n{style_sheet()}</style>\n"
        f"</head><body><main>\n{_body(root, writer)}\n</main></body></html>\n"
    )


def fragment(trajectory: Trajectory) -> str:
    """Return a trajectory as a piece of HTML for a notebook's output, also an untrusted one.

    It has inline styles only, is folded below the answer, and reads on light and dark themes.
    Long texts are cut; it stays below about 1.5 MB whatever the run was.
    """
    writer = TreeWriter(
        look=Look.inline(),
        budget=TextBudget(total=400_000, each=4_000, calls=240),
        turns_open=False,
    )
    at = writer.look.attributes["all"]
    # A notebook renders formulas in HTML: a prompt with two dollar signs is none.
    return f'<div class="mathjax_ignore"{at}>{_body(trajectory.root, writer)}</div>'


def _body(root: RunNode | None, writer: TreeWriter) -> str:
    if root is None:
        return "<p>no run yet</p>"
    return "\n".join([*_head(root, writer), *_tree(root, writer)])


def _head(root: RunNode, writer: TreeWriter) -> Iterator[str]:
    at = writer.look.attributes
    finished = root.finished
    if root.started.root_prompt:
        question = one_line(root.started.root_prompt, 800)
        role = "question" if len(question) <= _HEADLINE else "asked"
        yield f"<div{at[role]}>{escape(question)}</div>"
    status = "running" if finished is None else finished.status
    role = "good" if status == "answered" else "badge" if status == "running" else "bad"
    ended = _ENDED.get(status, status)
    _, *figures = summary(root).split(" · ") if finished else ("", summary(root))
    yield (
        f"<div><span{at[role]}>{escape(ended)}</span> "
        f"{writer.quiet(' · '.join([root.started.model, *figures]))}</div>"
    )
    yield from writer.answer(root)


def _tree(root: RunNode, writer: TreeWriter) -> Iterator[str]:
    yield from writer.folded(writer.quiet("about this run"), _about(root, writer))
    if writer.turns_open:
        yield from writer.turns(root)
    else:
        turns = sum(len(run.turns) for run in root.walk())
        title = f"<b>the run</b> {writer.quiet(f'{turns:,} turns, children included')}"
        yield from writer.folded(title, writer.turns(root))


def _about(root: RunNode, writer: TreeWriter) -> Iterator[str]:
    at = writer.look.attributes
    config = root.started.config
    started = datetime.fromtimestamp(root.started.time, UTC).astimezone()
    rows = [
        ("context", context_text(root)),
        ("environment", config.get("environment_type")),
        ("backend", config.get("backend")),
        ("started", f"{started:%Y-%m-%d %H:%M:%S %z}"),
        ("run", root.started.run_id),
    ]
    for name, value in rows:
        if value:
            yield f"<div>{writer.quiet(f'{name}: {value}')}</div>"
    columns = ("model", "calls", "tokens in", "out", "cost")
    head = "".join(f"<th>{column}</th>" for column in columns)
    yield f'<table cellpadding="4"{at["table"]}><tr>{head}</tr>'
    for model, usage in root.usage.model_usage_summaries.items():
        cost = cost_text(usage.total_cost, partial=bool(usage.uncosted_calls))
        cells = (
            escape(one_line(model, 80)),
            f"{usage.total_calls:,}",
            f"{usage.total_input_tokens:,}",
            f"{usage.total_output_tokens:,}",
            cost or "unknown",
        )
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</table>"
