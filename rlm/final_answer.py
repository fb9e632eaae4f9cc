"""Answers in a reply's text outside code, as older prompts teach them: `FINAL(...)`."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rlm.fence_lines import BLANK
from rlm.fences import fence_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rlm.fences import Fence

# What may stand before `FINAL` on its line, and behind its parenthesis: marks, tags, tokens.
_THING = r"</?[A-Za-z|\uff5c][^<>\n]{0,80}+>|\[/?[A-Z_]{2,20}+\]"
_MARKS = (
    rf"(?:{_THING}|\[[ xX]\]|\d{{1,3}}[.)](?={BLANK})|_|[^\w\n\"'()\uff08\uff09\[\]<~=.,;@&%/\\])*+"
)
_CALL = re.compile(
    rf"^({_MARKS})FINAL(\\?_VAR)?[*_`]{{0,3}}[(\uff08](?:\s*+(?:final_)?answer\s*+=(?!=))?",
    re.MULTILINE,
)
_LINE_END = re.compile(
    rf"(?:{_THING}|{BLANK}|[*_~`|.!:;,$>\"']|[^\w\x00-\x7f\uff08\uff09])*+(?:\n|\Z)"
)
_MARKER = r"^[ \t>*+|-]*+\(?\w{1,3}\)(?=[ \t]++\S)"
_LATER_MARKER = re.compile(_MARKER, re.MULTILINE)
_FIRST_MARKER = re.compile(r"\s*+\w{1,3}\)(?=[ \t]++\S)")
_PARENTHESIS = re.compile(
    rf"(?P<skip>{_MARKER}|(?<=[\s\w.!?])[:;][-o'^]?\)|(?<=\s)[:;][-o'^]?\()|[()\uff08\uff09]",
    re.MULTILINE,
)

_NAME = re.compile(r"\s*+(?:[A-Za-z]\w*+\s*+=\s*+)?([\"'`]?)(\w++)\1\s*+[)\uff09]")
_LITERAL = re.compile(r"\s*+([rRbBuU]?)('''|\"\"\"|'|\")")
_STRING_END = {
    mark: re.compile(rf"(?:\\.|[^\\\n{mark}])*+{mark}", re.DOTALL) for mark in ("'", '"')
} | {
    mark * 3: re.compile(rf"(?:[^\\{mark}]|\\.|{mark}(?!{mark * 2}))*+{mark * 3}", re.DOTALL)
    for mark in "'\""
}
_CLOSING = re.compile(r"\s*+[)\uff09]")
_QUOTE_MARKS = re.compile(rf"^{BLANK}*+>[ \t]?", re.MULTILINE)
_PLACEHOLDERS = frozenset(
    {"answer", "final_answer", "result", "text", "value", "x", "...", "…"}
    | {f"{whose} {what}" for whose in ("your", "the", "my", "final") for what in ("answer", "text")}
    | {"your final answer", "the final answer", "my final answer", "your final answer here"}
)
"""What stands in the parentheses where `FINAL` is talked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAnswer:
    """A final answer given outside code, as older prompts teach it.

    Attributes:
        kind: `text`: the answer itself; `variable`: the name of a variable that holds it.
        value: The answer or the name.
    """

    kind: Literal["text", "variable"]
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAnswer:
    """Where a reply's text answers.

    Attributes:
        answer: The answer; None when the reply was cut off inside it.
        start: Where it begins in the text.
        end: Where it ends.
    """

    answer: TextAnswer | None
    start: int
    end: int


def find_answer(text: str, fences: Sequence[Fence], *, complete: bool) -> FoundAnswer | None:
    """Find the first `FINAL(...)` or `FINAL_VAR(...)` that begins a line outside code.

    Markdown's marks, quotes and list numbers, tags and stop tokens may stand around it. It ends at
    the last `)` that ends a line outside fences and belongs to no `(` of the answer.

    Args:
        text: A reply; its lines end in a line feed alone.
        fences: The reply's blocks.
        complete: Whether the model said all it had to say.
    """
    calls = [call for call in _CALL.finditer(text) if fence_at(fences, call.start()) < 0]
    ends = [*(call.start() for call in calls[1:]), len(text)]
    for call, end in zip(calls, ends, strict=False):
        if call[2]:
            found = _variable(text, call)
        else:
            found = _Argument(text, fences, call, complete=complete).find(until=end)
        if found is not None:
            return found
    return None


def _variable(text: str, call: re.Match[str]) -> FoundAnswer | None:
    name = _NAME.match(text, call.end())
    if name is None or not name[2].isidentifier():
        return None
    if "`" in call[1] and _LINE_END.match(text, name.end()) is None:
        return None  # A sentence about it.
    answer = TextAnswer(kind="variable", value=name[2])
    return FoundAnswer(answer=answer, start=call.start(), end=name.end())


class _Argument:
    """What stands in the parentheses of one `FINAL(...)`."""

    def __init__(
        self, text: str, fences: Sequence[Fence], call: re.Match[str], *, complete: bool
    ) -> None:
        self._text = text
        self._fences = fences
        self._call = call
        self._start = call.end()
        self._complete = complete
        self._is_inline_code = "`" in call[1]

    def find(self, *, until: int) -> FoundAnswer | None:
        """Return the answer; None when this only talks about `FINAL`.

        Args:
            until: Where the next such call begins. The answer goes beyond only without an end here.
        """
        if (literal := self._literal()) is not None:
            return literal
        for end_of_search in dict.fromkeys((until, len(self._text))):
            at_line_end, within_line, paired = self._closings(end_of_search)
            if at_line_end is not None:
                found = self._found(at_line_end)
                return None if self._is_inline_code and _is_example(found) else found
            if self._is_inline_code:
                return None
            if within_line is not None:
                found = self._found(within_line) if self._complete else self._cut()
                return None if _is_example(found) else found
            if self._complete and paired is not None:
                return self._found(paired)
        return self._found(len(self._text)) if self._complete else self._cut()

    def _literal(self) -> FoundAnswer | None:
        """Return a string that is all of the argument."""
        quote = _LITERAL.match(self._text, self._start)
        string = quote and _STRING_END[quote[2]].match(self._text, quote.end())
        closing = string and _CLOSING.match(self._text, string.end())
        if quote is None or string is None or closing is None:
            return None
        if self._is_inline_code and _LINE_END.match(self._text, closing.end()) is None:
            return None
        value = _string_value(self._text[quote.start(1) : string.end()])
        return None if value is None else self._answer(value, closing.end())

    def _closings(self, until: int) -> tuple[int | None, int | None, int | None]:
        """Return the `)` that may end the argument.

        Returns:
            The last that ends a line and belongs to no `(`; the first such on `FINAL`'s own line
            with more text behind it; the last that ends a line though it belongs to a `(`.
        """
        at_line_end = within_line = paired = None
        newline = self._text.find("\n", self._start, until)
        own_line_end = until if newline < 0 else newline
        depth = 0
        for position, mark in self._parentheses(until):
            if mark in "(\uff08":
                depth += 1
                continue
            ends_line = _LINE_END.match(self._text, position + 1) is not None
            if depth:
                depth -= 1
                paired = position if ends_line else paired
            elif ends_line:
                at_line_end = position
            elif position < own_line_end:
                within_line = position if within_line is None else within_line
        return at_line_end, within_line, paired

    def _parentheses(self, until: int) -> Iterator[tuple[int, str]]:
        """Yield the parentheses outside fences, without those of smileys and list numbers."""
        start = self._start
        marker = _FIRST_MARKER.match(self._text, start, until)
        if marker and _LATER_MARKER.search(self._text, marker.end(), until):
            start = marker.end()
        for match in _PARENTHESIS.finditer(self._text, start, until):
            if match["skip"] is None and fence_at(self._fences, match.start()) < 0:
                yield match.start(), match[0]

    def _found(self, end: int) -> FoundAnswer:
        inside = self._text[self._start : end]
        if ">" in self._call[1]:
            inside = _QUOTE_MARKS.sub("", inside)
        inside = inside.strip()
        if not self._complete and inside[:1] in {"'", '"'} and not inside.endswith(inside[0]):
            return self._cut()
        value = _string_value(inside) if _LITERAL.match(inside) else None
        return self._answer(inside if value is None else value, end + 1)

    def _answer(self, value: str, end: int) -> FoundAnswer:
        answer = TextAnswer(kind="text", value=value)
        return FoundAnswer(answer=answer, start=self._call.start(), end=end)

    def _cut(self) -> FoundAnswer:
        return FoundAnswer(answer=None, start=self._call.start(), end=len(self._text))


def _is_example(found: FoundAnswer) -> bool:
    return found.answer is not None and found.answer.value.lower() in _PLACEHOLDERS


def _string_value(text: str) -> str | None:
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, str) else None
