"""A run as lines of text, safe for a terminal: what the console prints and `.view()` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rlm.render.cell_text import streams
from rlm.render.safe_text import one_line, some_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rlm.events import Note
    from rlm.trajectory import CellNode, RunNode, SubCallNode, TurnNode
    from rlm.usage import UsageSummary

Role = Literal["run", "turn", "prose", "code", "output", "error", "calls", "answer", "note"]

CODE_LINES = 14
OUTPUT_LINES = 10
DEEPEST = 60
"""From this level on a child gets one line: nobody reads that far, and the stack has an end."""

FOR_MACHINES = ("context", "log")
"""Kinds of notes that no person needs: the context's hash, and further fields of a log."""

CHILDREN_SHOWN = 4
"""How many children of one kind are shown turn by turn; the others share one line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text about a run.

    Attributes:
        level: How deep it stands in the tree; 0 for the root run.
        role: What it is, which decides its colour.
        text: Safe for a terminal, but not for a markup language.
    """

    level: int
    role: Role
    text: str


def outline(run: RunNode, level: int = 0) -> Iterator[Line]:
    """Yield the lines of a whole run."""
    yield from run_head(run, level)
    yield from turn_lines(run, level + 1)
    yield from run_end(run, level)


def turn_lines(run: RunNode, level: int) -> Iterator[Line]:
    """Yield the lines of all turns of a run."""
    yield from call_lines(run.setup_calls, level)
    for turn in run.turns:
        yield from turn_head(turn, level)
        for cell in turn.cells:
            yield from cell_lines(cell, level + 1)
        yield from note_lines(turn.notes, level + 1)
    yield from note_lines(run.notes, level)


def run_head(run: RunNode, level: int = 0) -> Iterator[Line]:
    """Yield how a run begins: its model, its context, its question."""
    config = run.started.config
    context = context_text(run)
    parts = [
        run.started.model,
        f"context: {one_line(context, 100)}" if context else "",
        str(config.get("environment_type") or ""),
    ]
    yield Line(level, "run", one_line(" · ".join(filter(None, parts)), 160))
    if run.started.root_prompt:
        yield Line(level + 1, "prose", f"“{one_line(run.started.root_prompt, 150)}”")


def turn_head(turn: TurnNode, level: int) -> Iterator[Line]:
    """Yield a turn's number, what its reply took, and the reply's first words."""
    started = turn.started
    number = f"turn {started.number}/{started.of}"
    if started.number > started.of:
        number = "the last turn: a final answer is asked for"
    reply = turn.reply
    if reply is None:
        yield Line(level, "turn", f"{number} · no reply{'' if turn.finished else ' yet'}")
        return
    tokens = amounts(reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cost)
    parts = [number, seconds(reply.duration), tokens]
    yield Line(level, "turn", " · ".join(filter(None, parts)))
    if prose := first_words(reply.text):
        yield Line(level + 1, "prose", prose)


def cell_lines(cell: CellNode, level: int) -> Iterator[Line]:
    """Yield a cell: its code, its sub-calls and children, its output."""
    for line in some_lines(cell.started.code, lines=CODE_LINES):
        yield Line(level, "code", line)
    yield from call_lines(cell.sub_calls, level + 1)
    stdout, stderr = streams(cell)
    for line in some_lines(stdout, lines=OUTPUT_LINES):
        yield Line(level + 1, "output", line)
    for line in some_lines(stderr, lines=OUTPUT_LINES):
        yield Line(level + 1, "error", line)
    yield from note_lines(cell.notes, level + 1)


def call_lines(calls: Iterable[SubCallNode], level: int) -> Iterator[Line]:
    """Yield sub-calls, equal ones in one line, and each of a few children with its turns."""
    for group in grouped(calls):
        children = [call for call in group if call.child is not None]
        shown = children if len(children) <= CHILDREN_SHOWN and level < DEEPEST else []
        rest = [call for call in group if call not in shown] if shown else group
        if rest:
            yield Line(level, "error" if all(map(failed, rest)) else "calls", group_text(rest))
        for call in shown:
            yield Line(level, "calls", f"{group_text([call])} “{one_line(_asked(call), 60)}”")
            if call.child is not None:
                yield from turn_lines(call.child, level + 1)


def run_end(run: RunNode, level: int = 0) -> Iterator[Line]:
    """Yield how a run ended: its answer or error, and what it took; nothing while it goes on."""
    if run.finished is None:
        return
    if run.finished.error:
        kind, message = (run.finished.error.get(key, "") for key in ("type", "message"))
        yield Line(level, "error", one_line(f"{kind}: {message}", 300))
    if run.finished.answer is not None:
        what = "answer" if run.finished.status in {"answered", "exhausted"} else "partial answer"
        for line in some_lines(f"{what}: {run.finished.answer}", lines=40, limit=400):
            yield Line(level, "answer", line)
    yield Line(level, "run", summary(run))


def note_lines(notes: Iterable[Note], level: int) -> Iterator[Line]:
    """Yield the notes of one node."""
    for note in notes:
        if note.kind not in FOR_MACHINES:
            yield Line(level, "note", f"{note.kind}: {one_line(note.text, 200)}")


def summary(run: RunNode) -> str:
    """Return in one line how a run ended and what it and its descendants took."""
    runs = list(run.walk())
    turns = sum(len(each.turns) for each in runs)
    calls = sum(len(each.sub_calls) for each in runs)
    parts = [
        "" if run.finished is None else run.finished.status,
        _count(turns, "turn"),
        _count(calls, "sub-call") if calls else "",
        f"{len(runs) - 1:,} {'child' if len(runs) == 2 else 'children'}" if runs[1:] else "",  # noqa: PLR2004  (itself and one)
        usage_text(run.usage),
        "" if run.finished is None else seconds(run.finished.duration),
    ]
    return " · ".join(filter(None, parts))


def context_text(run: RunNode) -> str:
    """Return a run's context in a few words; empty when its record describes none."""
    context = run.started.context
    return str(context.get("description") or context.get("type") or "")


def grouped(calls: Iterable[SubCallNode]) -> list[list[SubCallNode]]:
    """Return sub-calls in groups: each has one function and one model."""
    groups: dict[tuple[str, str], list[SubCallNode]] = {}
    for call in calls:
        groups.setdefault((call.name, call.started.model), []).append(call)
    return list(groups.values())


def failed(call: SubCallNode) -> bool:
    """Return whether a sub-call ended in an error."""
    return call.finished is not None and call.finished.error is not None


def group_text(group: list[SubCallNode]) -> str:
    """Return one group of sub-calls as one line: ``llm_query x 16 · m · 0.8 s``."""
    first = group[0]
    done = [call.finished for call in group if call.finished is not None]
    errors = [end.error for end in done if end.error is not None]
    pending = len(group) - len(done)
    usages = [end.usage for end in done]
    counted = [end.usage for end in done if end.error is None or end.usage.input_tokens]
    costs = [usage.cost for usage in usages if usage.cost is not None]
    since = min(call.started.time for call in group)
    until = max((end.time for end in done), default=since)
    parts = [
        f"{one_line(first.name, 40)}{f' x {len(group):,}' if len(group) > 1 else ''}",
        one_line(first.started.model, 40) if first.started.kind != "tool" else "",
        f"{pending:,} running" if pending else seconds(until - since),
        amounts(
            sum(usage.input_tokens or 0 for usage in usages),
            sum(usage.output_tokens or 0 for usage in usages),
            sum(costs) if costs else None,
            partial=len(costs) < len(counted),
        ),
        f"{_count(sum(c.child is not None and len(c.child.turns) for c in group), 'turn')}"
        if first.child is not None
        else "",
    ]
    if errors:
        which = "failed" if len(group) == 1 else f"{len(errors):,} failed"
        parts.append(f"{which}: {one_line(errors[0], 80)}")
    return " · ".join(filter(None, parts))


def first_words(text: str) -> str:
    """Return the first line of a reply's prose, without what stands in code fences."""
    before_code = text[:4_000].split("```", 1)[0]
    return one_line(next((line for line in before_code.splitlines() if line.strip()), ""), 140)


def seconds(duration: float) -> str:
    """Return a duration for people: ``80 ms``, ``1.2 s``, ``3 min 20 s``."""
    if duration < 0.1:  # noqa: PLR2004  (where tenths of a second say nothing)
        return f"{duration * 1000:.0f} ms"
    if duration < 100:  # noqa: PLR2004  (where people begin to count in minutes)
        return f"{duration:.1f} s"
    minutes, rest = divmod(int(duration), 60)
    if minutes < 100:  # noqa: PLR2004  (and in hours)
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def amounts(
    tokens_in: int | None, tokens_out: int | None, cost: float | None, *, partial: bool = False
) -> str:
    """Return tokens and cost, as far as they are known: ``1,204 tokens in, 88 out``."""
    tokens = f"{tokens_in or 0:,} tokens in, {tokens_out or 0:,} out"
    tokens = tokens if tokens_in or tokens_out else ""
    return " · ".join(filter(None, [tokens, cost_text(cost, partial=partial)]))


def cost_text(cost: float | None, *, partial: bool = False) -> str:
    """Return a cost: ``$0.12``, or ``at least $0.12``; empty when nobody knows it."""
    if cost is None:
        return ""
    return f"at least {dollars(cost)}" if partial else dollars(cost)


def dollars(amount: float) -> str:
    """Return an amount with as many digits as it takes to see it: ``$1.25``, ``$0.00031``."""
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.2g}"


def usage_text(usage: UsageSummary) -> str:
    """Return tokens and cost of a usage summary, as far as they are known."""
    return amounts(
        usage.total_input_tokens,
        usage.total_output_tokens,
        usage.total_cost,
        partial=usage.cost_is_partial,
    )


def _asked(call: SubCallNode) -> str:
    prompt = call.started.prompt
    return prompt if isinstance(prompt, str) else repr(prompt)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
