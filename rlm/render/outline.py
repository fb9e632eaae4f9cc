"""A run told in lines: what the console prints and `.view()` shows, safe for a terminal."""

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
"""From this level on children are told in one line: no reader, and no stack, goes on for ever."""

FOR_MACHINES = ("context", "log")
"""Kinds of notes that are no telling: the context's hash, and what a log said besides."""

CHILDREN_SHOWN = 4
"""How many children of one kind are told turn by turn; the others have one line together."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the telling.

    Attributes:
        level: How deep it stands in the tree; 0 for the root run.
        role: What it is, for those who colour.
        text: Safe for a terminal, but not for a markup language.
    """

    level: int
    role: Role
    text: str


def outline(run: RunNode, level: int = 0) -> Iterator[Line]:
    """Tell a whole run.

    Args:
        run: Finished or not.
        level: Where it stands.
    """
    yield from run_head(run, level)
    yield from turns_told(run, level + 1)
    yield from run_end(run, level)


def turns_told(run: RunNode, level: int) -> Iterator[Line]:
    """Tell all turns of a run.

    Args:
        run: Finished or not.
        level: Where its turns stand.
    """
    yield from calls_told(run.setup_calls, level)
    for turn in run.turns:
        yield from turn_head(turn, level)
        for cell in turn.cells:
            yield from cell_told(cell, level + 1)
        yield from notes_told(turn.notes, level + 1)
    yield from notes_told(run.notes, level)


def run_head(run: RunNode, level: int = 0) -> Iterator[Line]:
    """Tell how a run begins: its model, its context, its question.

    Args:
        run: Any run.
        level: Where it stands.
    """
    config = run.started.config
    context = run.started.context.get("description") or run.started.context.get("type")
    parts = [
        run.started.model,
        f"context: {one_line(str(context), 100)}" if context else "",
        str(config.get("environment_type") or ""),
    ]
    yield Line(level, "run", one_line(" · ".join(filter(None, parts)), 160))
    if run.started.root_prompt:
        yield Line(level + 1, "prose", f"“{one_line(run.started.root_prompt, 150)}”")


def turn_head(turn: TurnNode, level: int) -> Iterator[Line]:
    """Tell what a turn's reply is: its number, what it took, its first words.

    Args:
        turn: Finished or not.
        level: Where it stands.
    """
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


def cell_told(cell: CellNode, level: int) -> Iterator[Line]:
    """Tell a cell: its code, its sub-calls and children, its output.

    Args:
        cell: Finished or not.
        level: Where it stands.
    """
    for line in some_lines(cell.started.code, lines=CODE_LINES):
        yield Line(level, "code", line)
    yield from calls_told(cell.sub_calls, level + 1)
    stdout, stderr = streams(cell)
    for line in some_lines(stdout, lines=OUTPUT_LINES):
        yield Line(level + 1, "output", line)
    for line in some_lines(stderr, lines=OUTPUT_LINES):
        yield Line(level + 1, "error", line)
    yield from notes_told(cell.notes, level + 1)


def calls_told(calls: Iterable[SubCallNode], level: int) -> Iterator[Line]:
    """Tell sub-calls, those alike in one line, and each of a few children with its turns.

    Args:
        calls: Of one cell.
        level: Where they stand.
    """
    groups: dict[tuple[str, str], list[SubCallNode]] = {}
    for call in calls:
        groups.setdefault((call.name, call.started.model), []).append(call)
    for group in groups.values():
        children = [call for call in group if call.child is not None]
        told = children if len(children) <= CHILDREN_SHOWN and level < DEEPEST else []
        rest = [call for call in group if call not in told] if told else group
        if rest:
            yield Line(level, "error" if all(map(_failed, rest)) else "calls", group_text(rest))
        for call in told:
            yield Line(level, "calls", f"{group_text([call])} “{one_line(_asked(call), 60)}”")
            if call.child is not None:
                yield from turns_told(call.child, level + 1)


def run_end(run: RunNode, level: int = 0) -> Iterator[Line]:
    """Tell how a run ended: its answer or error, and what it took.

    Args:
        run: Nothing is told of one that is not finished.
        level: Where it stands.
    """
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


def notes_told(notes: Iterable[Note], level: int) -> Iterator[Line]:
    """Tell notes.

    Args:
        notes: Of one node.
        level: Where they stand.
    """
    for note in notes:
        if note.kind not in FOR_MACHINES:
            yield Line(level, "note", f"{note.kind}: {one_line(note.text, 200)}")


def summary(run: RunNode) -> str:
    """Return what a run and its descendants came to, in one line.

    Args:
        run: Finished or not.
    """
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


def group_text(group: list[SubCallNode]) -> str:
    """Return sub-calls that are alike as one line: ``llm_query x 16 · m · 0.8 s``.

    Args:
        group: One or more calls of one function to one model.
    """
    first = group[0]
    done = [call.finished for call in group if call.finished is not None]
    failed = [end.error for end in done if end.error is not None]
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
    if failed:
        which = "failed" if len(group) == 1 else f"{len(failed):,} failed"
        parts.append(f"{which}: {one_line(failed[0], 80)}")
    return " · ".join(filter(None, parts))


def first_words(text: str) -> str:
    """Return the first line of a reply's prose, without what stands in code fences.

    Args:
        text: A model's reply.
    """
    before_code = text[:4_000].split("```", 1)[0]
    return one_line(next((line for line in before_code.splitlines() if line.strip()), ""), 140)


def seconds(duration: float) -> str:
    """Return a duration for people: ``80 ms``, ``1.2 s``, ``3 min 20 s``.

    Args:
        duration: In seconds.
    """
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
    """Return tokens and cost, as far as they are known: ``1,204 tokens in, 88 out``.

    Args:
        tokens_in: The prompts'.
        tokens_out: The replies'.
        cost: USD.
        partial: Whether the cost leaves calls out whose cost nobody knows.
    """
    tokens = f"{tokens_in or 0:,} tokens in, {tokens_out or 0:,} out"
    tokens = tokens if tokens_in or tokens_out else ""
    return " · ".join(filter(None, [tokens, cost_text(cost, partial=partial)]))


def cost_text(cost: float | None, *, partial: bool = False) -> str:
    """Return a cost: ``$0.12``, or ``at least $0.12``; empty when nobody knows it.

    Args:
        cost: USD.
        partial: Whether it leaves calls out whose cost nobody knows.
    """
    if cost is None:
        return ""
    return f"at least {dollars(cost)}" if partial else dollars(cost)


def dollars(amount: float) -> str:
    """Return an amount with as many digits as it takes to see it: ``$1.25``, ``$0.00031``.

    Args:
        amount: USD.
    """
    return f"${amount:.2f}" if amount >= 1 or amount == 0 else f"${amount:.2g}"


def usage_text(usage: UsageSummary) -> str:
    """Return tokens and cost of a usage summary, as far as they are known.

    Args:
        usage: Of any run.
    """
    return amounts(
        usage.total_input_tokens,
        usage.total_output_tokens,
        usage.total_cost,
        partial=usage.cost_is_partial,
    )


def _asked(call: SubCallNode) -> str:
    prompt = call.started.prompt
    return prompt if isinstance(prompt, str) else repr(prompt)


def _failed(call: SubCallNode) -> bool:
    return call.finished is not None and call.finished.error is not None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
