"""Fenced blocks in a model's reply.

Fences follow CommonMark (section 4.5), bent where models bend it. Of code, any fence line outside
a Python string ends the block, whatever stands behind it; a fence that the model forgot to close
ends at the next `repl` block, and a missing last one at the reply's end. Whatever looks beyond the
first fence that could end a block is paid from a budget, so that no text takes quadratic time.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlm.fence_lines import (
    BLANK,
    LEAKED,
    LIST,
    MARKUP,
    PYTHON,
    REPL,
    UNSEEN,
    FenceLine,
    fence_lines,
    is_glued,
    language_of,
)
from rlm.python_strings import PythonStrings, is_python

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PROSE = frozenset({"markdown", "md", "text", "txt"})
_WORD = re.compile(r"[\w+#.:/{}-]++")
_QUOTE_MARK = rf"{BLANK}*+>[ \t]?"
_UNQUOTED = re.compile(rf"^(?!{BLANK}*+>)(?={BLANK}*+\S)", re.MULTILINE)
_BUDGET = 2
"""Characters that may be looked at a second time, for each character of the reply."""

_LINE_COST = 8
"""What it costs to look at a fence line a second time, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """A fenced block.

    Attributes:
        language: `repl`, or the tag's first word in small letters; empty without one.
        code: What it holds, without quote marks and the fence's own indentation.
        start: Where it begins in the text.
        end: Where it ends.
        closed: Whether something ends it before the text does.
        forgotten: Whether that is the beginning of another block.
    """

    language: str
    code: str
    start: int
    end: int
    closed: bool
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class _Opening:
    """How a block begins; `code` is what stands on the opening line; `whole`: that is all of it."""

    language: str
    code: str = ""
    whole: bool = False


def find_fences(text: str) -> list[Fence]:
    """Return the outermost fenced blocks, in order.

    Args:
        text: A reply; its lines end in a line feed alone.
    """
    return list(_Scanner(text).fences())


def fence_at(fences: Sequence[Fence], position: int) -> int:
    """Return which of the blocks, which are in order, a position lies in; -1 for none."""
    index = bisect.bisect_right(fences, position, key=lambda fence: fence.start) - 1
    return index if index >= 0 and position < fences[index].end else -1


class _Scanner:
    """One pass over the fence lines of a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = fence_lines(text)
        self._left = _BUDGET * len(text) + 1000
        self._unquoted = -1

    def fences(self) -> Iterator[Fence]:
        """Yield the blocks."""
        index = 0
        while index < len(self._lines):
            line, opening = self._lines[index], self._opening(index)
            if opening is None:
                index += 1
                continue
            is_prose = not MARKUP.fullmatch(line.before)
            start = line.start + len(line.before) if is_prose else line.start
            if opening.whole:
                code, end, closed, index = "", line.end, True, index + 1
            else:
                code_end, end, closed, index = self._end(index, opening.language)
                code = self._code(line, code_end, closed=closed)
            if opening.code:
                code = f"{opening.code}\n{code}" if code else opening.code
            yield Fence(
                language=opening.language,
                code=code,
                start=start,
                end=end,
                closed=closed,
                forgotten=index < len(self._lines) and end == self._lines[index].start,
            )

    def _spend(self, characters: int) -> bool:
        """Pay for looking at characters again; False when there is no budget left."""
        self._left -= characters
        return self._left > 0

    def _opening(self, index: int) -> _Opening | None:
        """Return how the block begins that a line opens; None when it opens none."""
        line = self._lines[index]
        language, code = language_of(line.behind)
        is_code = language == REPL or language in PYTHON
        if not LIST.fullmatch(line.before) and not (is_code and MARKUP.fullmatch(line.before)):
            # "Here it is: ```repl", which a fence by itself must close.
            is_one = language == REPL and not code and self._next_is_bare(index)
            return _Opening(REPL) if is_one else None
        if not is_code:
            return None if "`" in line.behind and line.marks[0] == "`" else _Opening(language)
        if line.marks in code:
            code = code.rstrip(line.marks[0]) if code.endswith(line.marks) else ""
            is_one = bool(code.strip()) and line.marks not in code
            return _Opening(language, code.strip(), whole=True) if is_one else None
        return None if line.marks in line.behind else _Opening(language, code)

    def _code(self, opening: FenceLine, end: int, *, closed: bool) -> str:
        """Return a block's text without quote marks, indentation and a leaked stop token."""
        code = self._text[min(opening.end + 1, end) : end].lstrip(UNSEEN)
        if opening.depth:
            code = re.sub(rf"^(?:{_QUOTE_MARK}){{0,{opening.depth}}}", "", code, flags=re.MULTILINE)
        width = len(opening.before.rpartition(">")[2])
        if opening.depth:
            width -= 1  # The blank that belongs to the quote mark.
        if width > 0 and LIST.fullmatch(opening.before):
            code = re.sub(rf"^[ \t]{{1,{width}}}", "", code, flags=re.MULTILINE)
        if not closed:
            kept = code[-1000:]
            at = next((m.start() for m in LEAKED.finditer(kept) if m.end() == len(kept)), None)
            code = code if at is None else code[: len(code) - len(kept) + at]
        return code

    def _quote_end(self, opening: FenceLine) -> int:
        """Return where the quote ends that a block stands in; the text's end for one in none."""
        if not opening.depth:
            return len(self._text)
        if self._unquoted < opening.end:
            match = _UNQUOTED.search(self._text, min(opening.end + 1, len(self._text)))
            self._unquoted = match.start() if match else len(self._text)
        return self._unquoted

    def _end(self, index: int, language: str) -> tuple[int, int, bool, int]:
        if language == REPL or language in PYTHON:
            return self._code_end(index)
        return self._prose_end(index) if language in _PROSE else self._text_end(index)

    def _code_end(self, index: int) -> tuple[int, int, bool, int]:
        """Return where code ends, where its block ends, whether closed, and the line to go on from.

        A fence line inside a Python string does not end it, if that leaves Python.
        """
        opening, limit = self._lines[index], self._quote_end(self._lines[index])
        last, glued = self._last_lines_of_code(index, limit)
        if glued is not None and (last is None or not self._lines[last].bare):
            line = self._lines[glued]
            return line.start + len(line.before), line.end, True, glued + 1
        return self._unclosed(index, limit) if last is None else self._ends_at(last, opening)

    def _last_lines_of_code(self, index: int, limit: int) -> tuple[int | None, int | None]:
        """Return the line that ends a block, and the first with marks at the end of its code."""
        opening, has_proper = self._lines[index], self._has_proper_end(index)
        strings, position = PythonStrings(), opening.end
        first, glued = None, None
        for number in self._lines_from(index + 1, limit):
            line = self._lines[number]
            if first is not None and not self._spend(line.start - position + _LINE_COST):
                break
            strings.feed(self._text, position, line.start)
            position = line.start
            if not self._may_end(opening, line, has_proper=has_proper):
                if glued is None and is_glued(line, opening) and strings.ends_code(line.before):
                    glued = number
                continue
            first = number if first is None else first
            if not strings.is_open:
                is_last = number == first or self._is_python(opening.end + 1, line.start)
                return number if is_last else first, glued
        return first, glued

    def _is_python(self, start: int, end: int) -> bool:
        return self._spend(end - start) and is_python(self._text[start:end])

    def _has_proper_end(self, index: int) -> bool:
        """Whether a fence of the same marks closes a block before the next `repl` block begins."""
        opening = self._lines[index]
        for number in self._lines_from(index + 1, len(self._text)):
            line = self._lines[number]
            if line.bare and line.matches(opening) and line.depth == opening.depth:
                return True
            if not self._spend(_LINE_COST) or (line.behind and language_of(line.behind)[0] == REPL):
                return False
        return False

    @staticmethod
    def _may_end(opening: FenceLine, line: FenceLine, *, has_proper: bool) -> bool:
        """Whether a line ends code, if it stands in no string."""
        if line.plain and line.depth == opening.depth:
            return line.matches(opening) or not has_proper
        return bool(LIST.fullmatch(line.before)) and language_of(line.behind)[0] == REPL

    def _text_end(self, index: int) -> tuple[int, int, bool, int]:
        """Return the same for a block that is no code."""
        opening, limit = self._lines[index], self._quote_end(self._lines[index])
        for number in self._lines_from(index + 1, limit):
            line = self._lines[number]
            is_repl = line.behind and language_of(line.behind)[0] == REPL
            if is_repl and line.depth >= opening.depth and LIST.fullmatch(line.before):
                return self._ends_at(number, opening)
            is_fence = line.plain and line.depth == opening.depth and line.matches(opening)
            # A word begins a block within this one, if there is a fence that ends it.
            if is_fence and not (_WORD.fullmatch(line.behind) and self._next_is_bare(number)):
                return self._ends_at(number, opening)
        return self._unclosed(index, limit)

    def _prose_end(self, index: int) -> tuple[int, int, bool, int]:
        """Return the same for prose, where blocks within the block are shown, not meant."""
        opening, limit = self._lines[index], self._quote_end(self._lines[index])
        depth, first = 1, None
        for number in self._lines_from(index + 1, limit):
            line = self._lines[number]
            if first is not None and not self._spend(_LINE_COST):
                break
            if not line.plain or line.depth != opening.depth or not line.matches(opening):
                continue
            if line.behind and _WORD.fullmatch(line.behind):
                depth += 1
                continue
            depth -= 1
            first = number if first is None else first
            if not depth:
                return self._ends_at(number, opening)
        return self._unclosed(index, limit) if first is None else self._ends_at(first, opening)

    def _lines_from(self, number: int, limit: int) -> Iterator[int]:
        """Yield the numbers of the lines from one on, up to where a quote ends."""
        while number < len(self._lines) and self._lines[number].start < limit:
            yield number
            number += 1

    def _next_is_bare(self, number: int) -> bool:
        return number + 1 < len(self._lines) and self._lines[number + 1].bare

    def _ends_at(self, number: int, opening: FenceLine) -> tuple[int, int, bool, int]:
        """Return what a block's end is when a line ends it; the line may begin another block."""
        line = self._lines[number]
        code_end = max(min(opening.end + 1, line.start), line.start - 1)
        is_word = line.behind and _WORD.fullmatch(line.behind)
        if (line.behind and language_of(line.behind)[0] == REPL) or (
            is_word and self._next_is_bare(number)
        ):
            return code_end, line.start, True, number
        return code_end, line.end, True, number + 1

    def _unclosed(self, index: int, limit: int) -> tuple[int, int, bool, int]:
        """Return what a block's end is when no line ends it: that of its quote, or of the text."""
        if limit == len(self._text):
            return limit, limit, False, len(self._lines)
        going_on = bisect.bisect_left(self._lines, limit, key=lambda line: line.start)
        return max(self._lines[index].end, limit - 1), limit, True, going_on
