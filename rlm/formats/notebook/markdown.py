"""The Markdown cells of a run's notebook, in which nothing that a model wrote is active.

Each run and turn has a heading, so that JupyterLab's table of contents is the tree. There are no
others: a model's heading is shown in bold type.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from rlm.render.cell_text import streams
from rlm.render.outline import (
    FOR_MACHINES,
    amounts,
    context_text,
    failed,
    group_text,
    grouped,
    seconds,
    usage_text,
)
from rlm.render.safe_markdown import fenced, safe_markdown
from rlm.render.safe_text import one_line, truncate
from rlm.reply_parser import text_outside_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rlm.events import Note
    from rlm.trajectory import CellNode, RunNode, SubCallNode, TurnNode

SHOWN = 20_000
"""Characters of one text that are shown at most; the record has all of it."""

CALLS_SHOWN = 20
"""Sub-calls of a cell that are listed one by one; of more of them, the first and the failed."""

_LISTED_OF_MANY = 5
_OUTPUT_SHOWN = 4_000
_WORDS = 100
_ATX = re.compile(r"^ {0,3}#{1,6}(?:[ \t](.*))?$")
_MARKS = re.compile(r"[\\`*\[\]#|~$^]|(?<![^\W_])_|_(?![^\W_])")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-+)[ \t]*$")


def heading(depth: int, text: str, *, turn: bool = False) -> str:
    """Return the heading of a run, or of a turn in it; levels below the sixth use the sixth."""
    return f"{'#' * min(2 * depth + 1 + turn, 6)} {_plain(text)}"


def model_text(text: str) -> str:
    """Return a model's text as harmless Markdown without headings."""
    lines: list[str] = []
    fence = ""
    for line in safe_markdown(truncate(text, SHOWN)).split("\n"):
        marks = line[: len(line) - len(line.lstrip("`"))]
        if fence:
            fence = "" if line == fence else fence
            lines.append(line)
        elif len(marks) >= 3:  # noqa: PLR2004 - a fence has three at least
            fence = marks
            lines.append(line)
        else:
            lines.append(_without_heading(line))
    return "\n".join(lines)


def run_text(run: RunNode) -> str:
    """Return the head of a notebook: the root run's question, answer and figures."""
    finished, question = run.finished, run.started.root_prompt
    parts = [heading(0, question or "A run without a question")]
    if question and one_line(question, _WORDS) != question:
        parts.append(f"**Question**\n\n{model_text(question)}")
    if finished is not None and finished.answer is not None:
        title = "Answer" if finished.status in {"answered", "exhausted"} else "Partial answer"
        parts.append(f"**{title}**\n\n{model_text(finished.answer)}")
    if finished is not None and finished.error:
        parts.append(f"**Error** {_plain(': '.join(map(str, finished.error.values())), 2_000)}")
    parts.append(_table(_facts(run)))
    return join_with_notes(parts, run.notes)


def turn_text(turn: TurnNode, depth: int) -> str:
    """Return a turn's heading and reply, without the code that follows as cells."""
    started, reply = turn.started, turn.reply
    title = f"Turn {started.number}"
    if started.number > started.of:
        title = f"Turn {started.number}: a final answer is asked for"
    parts = [heading(depth, title, turn=True)]
    if reply is None:
        parts.append("*No reply.*" if turn.finished else "*No reply yet.*")
        return join_with_notes(parts, turn.notes)
    said = reply.text
    if turn.cells or turn.finished is None or turn.finished.final_answer is None:
        said = text_outside_code(said)
    if said.strip():
        parts.append(model_text(said))
    took = amounts(reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cost)
    figures = [reply.model, seconds(reply.duration), took]
    parts.append(f"*{_plain(' · '.join(filter(None, figures)))}*")
    return join_with_notes(parts, turn.notes)


def cell_text(cell: CellNode) -> str:
    """Return a block that is no code cell (a child's, or one that was stopped), and its output."""
    parts = [fenced(truncate(cell.started.code, SHOWN), "python")]
    stdout, stderr = (truncate(text.rstrip("\n"), _OUTPUT_SHOWN) for text in streams(cell))
    parts += [fenced(text, "text") for text in (stdout, stderr) if text]
    return join_with_notes(parts, cell.notes)


def calls_text(calls: Sequence[SubCallNode]) -> str:
    """Return the plain calls of a block, or of `setup_code`: a line each, many in groups."""
    calls = [call for call in calls if call.started.kind != "rlm"]
    parts = [f"*{_plain(group_text(group), 300)}*" for group in grouped(calls)]
    listed = list(enumerate(calls, 1))
    if len(calls) > CALLS_SHOWN:
        first, others = listed[:_LISTED_OF_MANY], listed[_LISTED_OF_MANY:]
        listed = first + [each for each in others if failed(each[1])][:_LISTED_OF_MANY]
        parts.append(f"The first {_LISTED_OF_MANY} of {len(calls):,}, and failed ones:")
    rows: list[tuple[str, ...]] = [("#", "called", "prompt", "reply", "time")]
    rows += [_call_row(number, call) for number, call in listed]
    parts.append(_table(rows))
    return join_with_notes(parts, [note for call in calls for note in call.notes][:CALLS_SHOWN])


def child_text(call: SubCallNode | None, run: RunNode | None, depth: int) -> str:
    """Return the head of a child's cells.

    Args:
        call: The call that started the child; None when another cell shows it.
        run: The child; None before it began.
        depth: Of the child.
    """
    asked = "" if call is None else _shown(call.started.prompt)
    parts = [heading(depth, f"Child: {one_line(asked, _WORDS - 10)}" if asked else "Child")]
    figures = []
    if call is not None:
        figures = [group_text([call])]
    elif run is not None:
        figures = [run.started.model]
    if run is not None:
        context = context_text(run)
        figures += [f"context: {context}" if context else "", usage_text(run.usage)]
        if run.finished is not None:
            figures += [run.finished.status, seconds(run.finished.duration)]
    parts.append(f"*{_plain(' · '.join(filter(None, figures)), 500)}*")
    if run is not None and run.finished is not None and run.finished.answer is not None:
        parts.append(f"**Answer**\n\n{model_text(run.finished.answer)}")
    elif call is not None and call.finished is not None and call.finished.error:
        parts.append(f"**Error** {_plain(call.finished.error, 2_000)}")
    notes = [*([] if call is None else call.notes), *([] if run is None else run.notes)]
    return join_with_notes(parts, notes)


def orphan_text(count: int) -> str:
    """Return the text of the cell that counts the events without a place in the tree."""
    return f"*{count:,} events of this run fit nowhere in its tree; the record has them.*"


def _facts(run: RunNode) -> list[tuple[str, ...]]:
    """Return the rows of the head's table."""
    runs = list(run.walk())
    config, finished = run.started.config, run.finished
    usage = run.usage
    costs = amounts(None, None, usage.total_cost, partial=usage.cost_is_partial)
    tokens = f"{usage.total_input_tokens:,} in, {usage.total_output_tokens:,} out"
    models = Counter({name: s.total_calls for name, s in usage.model_usage_summaries.items()})
    return [
        ("model", run.started.model),
        ("environment", str(config.get("environment_type") or "")),
        ("context", context_text(run)),
        ("status", "running" if finished is None else finished.status),
        ("turns", f"{sum(len(each.turns) for each in runs):,}"),
        ("sub-calls", f"{sum(len(each.sub_calls) for each in runs):,}"),
        ("children", f"{len(runs) - 1:,}"),
        ("LM calls", ", ".join(f"{n:,} to {name}" for name, n in models.most_common(5)) or "0"),
        ("tokens", tokens),
        ("cost", costs or "unknown"),
        ("time", "" if finished is None else seconds(finished.duration)),
    ]


def _call_row(number: int, call: SubCallNode) -> tuple[str, ...]:
    finished = call.finished
    reply = "" if finished is None else _shown(finished.error or finished.response)
    called = call.name if call.started.kind == "tool" else f"{call.name} {call.started.model}"
    time = "running" if finished is None else seconds(finished.duration)
    return (str(number), called, _shown(call.started.prompt), reply, time)


def _shown(value: Any) -> str:
    """Return the beginning of a prompt or reply as text."""
    if isinstance(value, str):
        return value[: 8 * _WORDS]
    if isinstance(value, list) and value and isinstance(value[-1], dict) and "content" in value[-1]:
        return _shown(value[-1]["content"])
    return json.dumps(value, ensure_ascii=False, default=repr)[: 8 * _WORDS]


def _table(rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; the first row is its head."""
    lines = [f"| {' | '.join(_plain(field) for field in row)} |" for row in rows]
    columns = lines[0].count("|") - 1
    return "\n".join([lines[0], f"|{' --- |' * columns}", *lines[1:]])


def _plain(text: str, limit: int = _WORDS) -> str:
    """Return text for the middle of a line, shown letter by letter.

    Only what Markdown reads there is escaped, because a table of contents shows the escapes.
    """
    text = _MARKS.sub(r"\\\g<0>", one_line(text, limit))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def join_with_notes(parts: Iterable[str], notes: Iterable[Note]) -> str:
    """Return paragraphs, and below them the notes."""
    quotes = [
        f"> {_plain(f'{note.kind}: {note.text}', 1_000)}"
        for note in notes
        if note.kind not in FOR_MACHINES
    ]
    return "\n\n".join([*parts, *quotes])


def _without_heading(line: str) -> str:
    if match := _ATX.match(line):
        # Not by a pattern: one for the marks at the end takes hours on a line of blanks.
        words = (match[1] or "").rstrip(" \t").rstrip("#").strip(" \t").replace("**", "")
        return f"**{words}**" if words else ""
    return "\\" + line.lstrip(" ") if _UNDERLINE.match(line) else line
