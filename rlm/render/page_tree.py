"""A run as nested ``details``: turns, their cells, the cells' sub-calls, and children in those."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from rlm.render.cell_text import text_of
from rlm.render.outline import (
    FOR_MACHINES,
    amounts,
    failed,
    first_words,
    group_text,
    grouped,
    run_head,
    seconds,
    turn_head,
)
from rlm.render.page_outputs import outputs_html
from rlm.render.safe_text import one_line
from rlm.render.text_html import code_html, markdown_html, text_html

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rlm.events import Message, Note
    from rlm.render.style import Look
    from rlm.render.text_budget import TextBudget
    from rlm.trajectory import CellNode, RunNode, SubCallNode, TurnNode

DEEPEST = 24
"""How many runs may be nested; of a deeper child only the head is shown."""

_VARIABLES_SHOWN = 60
_GROUPS_SHOWN = 60
_MESSAGE_SHARE = 0.5
_CALL_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeWriter:
    """Writes the nodes of a trajectory as HTML.

    Attributes:
        look: How it looks.
        budget: What texts may take.
        turns_open: Whether the turns of the root run are unfolded.
    """

    look: Look
    budget: TextBudget
    turns_open: bool

    def turns(self, run: RunNode, depth: int = 0) -> Iterator[str]:
        """Yield the HTML of a run's turns."""
        yield from self._calls(run.setup_calls, depth)
        for turn in run.turns:
            yield from self._turn(turn, depth)
        yield from self.notes(run.notes)

    def answer(self, run: RunNode) -> Iterator[str]:
        """Yield the HTML of a run's answer and error, whichever there is."""
        finished = run.finished
        if finished is None:
            return
        if finished.error:
            kind, message = (str(finished.error.get(key, "")) for key in ("type", "message"))
            yield self._pre("error", f"{kind}: {message}")
        if finished.answer is not None:
            whole = finished.status in {"answered", "exhausted"}
            yield self._markdown(finished.answer, "answer" if whole else "partial")

    def notes(self, notes: Iterable[Note]) -> Iterator[str]:
        """Yield the HTML of notes."""
        at = self.look.attributes["note"]
        for note in notes:
            if note.kind in FOR_MACHINES:
                continue
            yield f"<div{at}>{escape(one_line(f'{note.kind}: {note.text}', 300))}</div>"

    def folded(self, title: str, parts: Iterable[str], *, is_open: bool = False) -> Iterator[str]:
        """Yield parts that unfold beneath a title."""
        at = self.look.attributes
        state = " open" if is_open else ""
        yield f"<details{state}{at['node']}><summary{at['head']}>{title}</summary>"
        yield from parts
        yield "</details>"

    def quiet(self, text: str) -> str:
        """Return text in a fainter colour, as HTML."""
        return f"<span{self.look.attributes['quiet']}>{escape(one_line(text, 300))}</span>"

    def _turn(self, turn: TurnNode, depth: int) -> Iterator[str]:
        number, *figures = next(iter(turn_head(turn, 0))).text.split(" · ")
        if turn.finished is not None and turn.cells and turn.reply is not None:
            # The first figure is the model's time; the turn's is longer by that of its cells.
            figures[:1] = [f"{seconds(turn.finished.duration)}, the model {figures[0]}"]
        if calls := len(turn.sub_calls):
            figures.append(f"{calls:,} sub-call{'' if calls == 1 else 's'}")
        title = f"<b>{escape(number)}</b> {self.quiet(' · '.join(figures))}"
        if turn.reply is not None and (words := first_words(turn.reply.text)):
            title += f" {escape(words)}"
        if any(cell.finished and cell.finished.status != "ok" for cell in turn.cells):
            title += self._bad("error")
        is_open = self.turns_open and depth == 0
        yield from self.folded(title, self._turn_body(turn, depth), is_open=is_open)

    def _turn_body(self, turn: TurnNode, depth: int) -> Iterator[str]:
        if turn.started.messages:
            new, kept = len(turn.started.messages), turn.started.kept
            title = self.quiet(f"what the model was sent: {new:,} new messages, {kept:,} before")
            yield from self.folded(title, map(self._message, turn.started.messages))
        for reply in turn.replies:
            if reply.purpose == "compaction":
                title = self.quiet("the summary that replaced the conversation so far")
                yield from self.folded(title, [self._markdown(reply.text, "prose")])
        if turn.reply is not None:
            # With its code, as the model wrote it; the cells have what was executed.
            title = self.quiet("the model's reply")
            parts = [self._markdown(turn.reply.text, "prose")]
            yield from self.folded(title, parts, is_open=not turn.cells)
        for cell in turn.cells:
            yield from self._cell(cell, depth)
        yield from self.notes(turn.notes)

    def _cell(self, cell: CellNode, depth: int) -> Iterator[str]:
        finished = cell.finished
        count = "*" if finished is None else finished.execution_count or " "
        parts = [f"cell {cell.started.number} [{count}]"]
        parts.append("running" if finished is None else seconds(finished.duration))
        bad = "" if finished is None or finished.status == "ok" else self._bad(finished.status)
        yield f"<div>{self.quiet(' · '.join(parts))}{bad}</div>"
        code, note = self.budget.head(cell.started.code)
        shown = code_html(code, classes=self.look.classes)
        yield f"<pre{self.look.attributes['code']}>{shown}{note and f'{chr(10)}{note}'}</pre>"
        yield from self._calls(cell.sub_calls, depth)
        yield from outputs_html(cell, self.look, self.budget)
        yield from self.notes(cell.notes)
        if finished is not None and finished.variables:
            yield from self._variables(finished.variables)

    def _variables(self, variables: dict[str, dict[str, str]]) -> Iterator[str]:
        names = ", ".join(variables)
        lines = [
            one_line(f"{name}: {value.get('type', '')} = {value.get('preview', '')}", 200)
            for name, value in list(variables.items())[:_VARIABLES_SHOWN]
        ]
        title = self.quiet(f"variables ({len(variables):,}): {one_line(names, 100)}")
        yield from self.folded(title, [self._pre("text", "\n".join(lines))])

    def _calls(self, calls: Iterable[SubCallNode], depth: int) -> Iterator[str]:
        groups = grouped(calls)
        for group in groups[:_GROUPS_SHOWN]:
            if len(group) == 1:
                yield from self._call(group[0], depth)
                continue
            title = escape(group_text(group))
            if any(map(failed, group)):
                title += self._bad("failed")
            yield from self.folded(title, self._group(group, depth))
        if len(groups) > _GROUPS_SHOWN:
            more = len(groups) - _GROUPS_SHOWN
            yield f"<div>{self.quiet(f'… {more:,} more kinds of sub-calls')}</div>"

    def _group(self, group: list[SubCallNode], depth: int) -> Iterator[str]:
        granted = self.budget.calls(len(group))
        # People look for failures: these are the first to be chosen.
        by_interest = sorted(group, key=failed, reverse=True)
        chosen = {id(call) for call in by_interest[:granted]}
        shown = [call for call in group if id(call) in chosen]
        for call in shown:
            yield from self._call(call, depth)
        if len(shown) < len(group):
            more = len(group) - len(shown)
            yield f"<div>{self.quiet(f'… {more:,} more, in the trajectory itself')}</div>"

    def _call(self, call: SubCallNode, depth: int) -> Iterator[str]:
        finished = call.finished
        parts = [call.name]
        if call.started.kind != "tool":
            parts.append(call.started.model)
        if finished is None:
            parts.append("running")
        else:
            usage = finished.usage
            took = amounts(usage.input_tokens, usage.output_tokens, usage.cost)
            parts += [seconds(finished.duration), took]
        title = f"{self.quiet(' · '.join(filter(None, parts)))} {escape(_asked(call))}"
        if failed(call):
            title += self._bad("failed")
        yield from self.folded(title, self._call_body(call, depth))

    def _call_body(self, call: SubCallNode, depth: int) -> Iterator[str]:
        yield self._pre("text", _as_text(call.started.prompt), _CALL_SHARE)
        yield from self.notes(call.notes)
        if call.child is not None:
            yield from self._child(call.child, depth + 1)
        finished = call.finished
        if finished is not None and (call.child is None or call.child.answer is None):
            role = "error" if failed(call) else "code"
            yield self._pre(role, _as_text(finished.response), _CALL_SHARE)

    def _child(self, run: RunNode, depth: int) -> Iterator[str]:
        for line in run_head(run):
            yield f"<div>{self.quiet(line.text)}</div>"
        if depth > DEEPEST:
            yield f"<div>{self.quiet('… its turns are in the trajectory itself')}</div>"
            return
        yield from self.turns(run, depth)
        yield from self.answer(run)

    def _message(self, message: Message) -> str:
        content = message.get("content")
        text = f"{message.get('role', '')}:\n{_as_text(content)}"
        return self._pre("text", text, _MESSAGE_SHARE)

    def _markdown(self, text: str, role: str) -> str:
        shown, note = self.budget.head(text)
        html = markdown_html(shown, classes=self.look.classes)
        more = f"<div>{self.quiet(note)}</div>" if note else ""
        return f"<div{self.look.attributes[role]}>{html}{more}</div>"

    def _pre(self, role: str, text: str, share: float = 1.0) -> str:
        shown = text_html(self.budget.ends(text, share))
        return f"<pre{self.look.attributes[role]}>{shown}</pre>"

    def _bad(self, word: str) -> str:
        return f" <span{self.look.attributes['bad']}>{escape(word)}</span>"


def _asked(call: SubCallNode) -> str:
    return f"“{one_line(_as_text(call.started.prompt)[:400], 80)}”"


def _as_text(value: Any) -> str:
    return "null" if value is None else text_of(value, indent=2)
