"""What to execute in a model's reply: its fenced code, and answers in plain text.

Fences follow CommonMark (section 4.5), bent where models bend it: a fence line
inside a triple-quoted string does not close the block, a missing last fence is
forgiven, and so is a fence that somebody forgot to close before ```` ```repl ````.
"""

from __future__ import annotations

import ast
import bisect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

# Possessive quantifiers (`*+`), because replies are anybody's text: no backtracking.
_OPENING = re.compile(r"^([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+([^\s`{]*+)[^`\n]*+$", re.MULTILINE)
_QUOTE = re.compile(r"#[^\n]*|'''|\"\"\"|'|\"")
_IMITATION = re.compile(
    r"^[ \t>*#]*+(?:REPL output(?: \(block \d+\))?|Turn \d+/\d+)[ \t*]*:",
    re.MULTILINE | re.IGNORECASE,
)
_FINAL = re.compile(r"^[ \t]*+(FINAL|FINAL_VAR)\(", re.MULTILINE)
_NEXT_BLOCK = re.compile(r"^[ \t]*+[`~]{3,}+[ \t]*+repl\b", re.MULTILINE)
_MOST_STRINGS = 20
"""Strings of one block that are looked through for fences: hostile text must not take all day."""

_NAME = re.compile(r"\s*+([\"']?)(\w++)\1\s*+\)")
_LITERAL = re.compile(r"\s*+('''|\"\"\"|'|\")")
_CLOSING = re.compile(r"\s*+\)")
_PARENTHESIS = re.compile(r"[()]")
_LINE_END = re.compile(r"[ \t]*+(?:\n|\Z)")
_STRING_ENDS = {
    **{mark * 3: re.compile(rf"(?:\\.|[^\\])*?{mark * 3}", re.DOTALL) for mark in "\"'"},
    **{mark: re.compile(rf"(?:\\.|[^\\\n{mark}])*+{mark}", re.DOTALL) for mark in "\"'"},
}
_PROSE = frozenset({"markdown", "md", "text", "txt"})
_PYTHON = frozenset({"python", "py", "python3", "ipython"})


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
class ParsedReply:
    """What a reply asks for.

    Attributes:
        text: The reply up to where it begins to imitate the REPL; what the history keeps.
        blocks: The code to execute, in order; its lines end in a line feed alone.
        answer: A final answer in the text outside code, if any.
        cut: How many characters of imitation were cut off.
        cut_short: Whether the reply ended inside a block, which is therefore not among them.
        cut_answer: Whether the reply ended inside `FINAL(...)`, which is therefore no answer.
        other_code: Whether there is fenced Python that is not to be executed.
    """

    text: str
    blocks: tuple[str, ...]
    answer: TextAnswer | None
    cut: int = 0
    cut_short: bool = False
    cut_answer: bool = False
    other_code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fence:
    language: str
    code: str
    start: int
    end: int
    closed: bool


def parse_reply(text: str, *, python_fences: bool = False, complete: bool = True) -> ParsedReply:
    """Find the code and the final answer in a reply.

    Args:
        text: The model's reply.
        python_fences: Whether ```` ```python ```` fences are executed when the reply has no
            ```` ```repl ```` fence.
        complete: Whether the model said all it had to say; else a last block without a closing
            fence was cut short and must not be executed, and neither is an answer whose
            parenthesis is not closed one.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    fences = list(_fences(text))
    wanted = frozenset({"repl"})
    if python_fences and not any(fence.language == "repl" for fence in fences):
        wanted = _PYTHON
    end = _imitation_start(text, fences, wanted)
    kept = [fence for fence in fences if fence.start < end]
    code = [fence for fence in kept if fence.language in wanted and fence.code.strip()]
    cut_short = bool(code) and not code[-1].closed and not complete
    answer, cut_answer = _text_answer(text[:end], kept, complete=complete)
    return ParsedReply(
        text=text[:end].rstrip() if end < len(text) else text,
        blocks=tuple(fence.code for fence in (code[:-1] if cut_short else code)),
        answer=answer,
        cut=len(text) - end,
        cut_short=cut_short,
        cut_answer=cut_answer,
        other_code=any(fence.language in _PYTHON - wanted for fence in kept),
    )


def text_outside_code(text: str) -> str:
    """Return what a reply says outside its fenced blocks.

    Args:
        text: The model's reply.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    parts, position = [], 0
    for fence in _fences(text):
        parts.append(text[position : fence.start].strip())
        position = fence.end
    parts.append(text[position:].strip())
    return "\n\n".join(part for part in parts if part)


def _fences(text: str) -> Iterator[_Fence]:
    """Yield the outermost fenced blocks; of what is fenced inside them nothing is said."""
    position = 0
    while opening := _OPENING.search(text, position):
        indent, marks, language = opening[1], opening[2], opening[3].lower()
        start = min(opening.end() + 1, len(text))
        code_end, end, closed = _closing(text, start, marks, language)
        yield _Fence(
            language=language,
            code=_without_indent(text[start:code_end], indent),
            start=opening.start(),
            end=end,
            closed=closed,
        )
        position = end


def _closing(text: str, start: int, marks: str, language: str) -> tuple[int, int, bool]:
    """Return where the code ends, where the block ends, and whether a fence closes it."""
    if language == "repl" or language in _PYTHON:
        return _code_closing(text, start, marks)
    line = re.compile(rf"^[ \t]*+({re.escape(marks[0])}{{{len(marks)},}}+)([^\n]*+)$", re.MULTILINE)
    depth = 1
    for match in line.finditer(text, start):
        words = match[2].split()
        if not words:
            depth -= 1
            if not depth:
                return max(start, match.start() - 1), match.end(), True
        elif words[0].lower() == "repl":
            if language not in _PROSE:  # Somebody forgot to close this one: code is code.
                return max(start, match.start() - 1), match.start(), True
            depth += 1
    return len(text), len(text), False


def _code_closing(text: str, start: int, marks: str) -> tuple[int, int, bool]:
    line = re.compile(rf"^[ \t]*+{re.escape(marks[0])}{{{len(marks)},}}+[ \t]*+$", re.MULTILINE)
    first = line.search(text, start)
    if first is None:
        bare = text[start:].rstrip()
        if bare.endswith(marks):  # ``print(1)``` `` on one line
            return start + len(bare) - len(marks), len(text), True
        return len(text), len(text), False
    chosen, position, strings = first, start, 0
    while quote := _QUOTE.search(text, position, chosen.start()):
        ending = _STRING_ENDS.get(quote[0])  # None: a comment
        string = ending and ending.match(text, quote.end())
        position = string.end() if string else quote.end()
        if position <= chosen.start():
            continue
        # The fence is inside a string: another one ends the block, unless a new block begins first.
        strings += 1
        chosen = line.search(text, position) or first
        if (
            chosen is first
            or strings > _MOST_STRINGS
            or _NEXT_BLOCK.search(text, position, chosen.start())
        ):
            chosen = first
            break
    if chosen is not first and not _is_python(text[start : chosen.start()]):
        chosen = first
    return max(start, chosen.start() - 1), chosen.end(), True


def _is_python(code: str) -> bool:
    """Whether the code parses, IPython's line magics taken out."""
    plain = re.sub(r"^([ \t]*)[%!?][^\n]*$", r"\1pass", code, flags=re.MULTILINE)
    try:
        compile(plain, "<reply>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _without_indent(code: str, indent: str) -> str:
    if not indent:
        return code
    return re.sub(rf"^[ \t]{{1,{len(indent)}}}", "", code, flags=re.MULTILINE)


def _imitation_start(text: str, fences: list[_Fence], wanted: frozenset[str]) -> int:
    """Return where, after a block of code, the reply plays the REPL itself; else its length."""
    first = next((fence.end for fence in fences if fence.language in wanted), None)
    if first is None:
        return len(text)
    for match in _IMITATION.finditer(text, first):
        if not _is_inside(fences, match.start()):
            return match.start()
    return len(text)


def _text_answer(
    text: str, fences: list[_Fence], *, complete: bool
) -> tuple[TextAnswer | None, bool]:
    """Find the first `FINAL(...)` or `FINAL_VAR(...)` that begins a line outside code.

    Returns:
        The answer, if any, and whether one was cut off by the reply's end.
    """
    for match in _FINAL.finditer(text):
        if _is_inside(fences, match.start()):
            continue
        if match[1] == "FINAL":
            value = _argument(text, match.end(), complete=complete)
            if value is None:
                return None, True
            return TextAnswer(kind="text", value=value), False
        name = _NAME.match(text, match.end())
        if name and name[2].isidentifier():
            return TextAnswer(kind="variable", value=name[2]), False
    return None, False


def _is_inside(fences: list[_Fence], position: int) -> bool:
    """Whether a position lies in one of the blocks, which are in order."""
    index = bisect.bisect_right(fences, position, key=lambda fence: fence.start) - 1
    return index >= 0 and position < fences[index].end


def _argument(text: str, start: int, *, complete: bool) -> str | None:
    """Return what stands in a call's parentheses; None when the reply was cut off inside them."""
    quote = _LITERAL.match(text, start)
    string = quote and _STRING_ENDS[quote[1]].match(text, quote.end())
    if quote and string and _CLOSING.match(text, string.end()):
        literal = _string_literal(text[quote.start(1) : string.end()])
        if literal is not None:
            return literal
    end = _closing_parenthesis(text, start, complete=complete)
    if end is None:
        if not complete:
            return None
        end = len(text)
    inside = text[start:end]
    literal = _string_literal(inside)
    return inside.strip() if literal is None else literal


def _closing_parenthesis(text: str, start: int, *, complete: bool) -> int | None:
    """Return where the parenthesis stands that closes; None when there is none.

    Prose has parentheses that pair with none, such as `:)`: when the one that closes by count has
    text after it, and one more that pairs with none ends the same line, it is that one.
    """
    end = len(text)
    depth, closing = 1, None
    for match in _PARENTHESIS.finditer(text, start):
        if match.start() > end:
            break
        depth += 1 if match[0] == "(" else -1
        if depth:
            continue
        if _LINE_END.match(text, match.end()):
            return match.start()
        if closing is None:
            closing = match.start()
            newline = text.find("\n", closing)
            end = len(text) if newline < 0 else newline
        depth = 1
    if closing is not None:
        # The line goes on behind it; in a reply that was cut off, who knows with what.
        return closing if complete or end < len(text) else None
    last = text.rfind(")", start) if complete else -1
    return None if last < 0 else last


def _string_literal(text: str) -> str | None:
    try:
        value = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, str) else None
