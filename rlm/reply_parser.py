"""What a model's reply asks for: the code to execute, and answers in plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rlm.fence_lines import BLANK, PYTHON, REPL
from rlm.fences import fence_at, find_fences
from rlm.final_answer import TextAnswer, find_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm.fences import Fence

__all__ = ["CUT", "ParsedReply", "ReplyReader", "TextAnswer", "parse_reply", "text_outside_code"]

PythonFences = bool | Literal["auto"]
"""Whether `python` blocks run: never; where a reply has no `repl` block; `auto`: only until the
model has written one."""

CUT = frozenset({"length", "max_tokens"})
"""Providers' words for a reply that was cut off."""

_IMITATION = re.compile(
    rf"^(?:{BLANK}|[>*#])*+(?:REPL output(?: \(block \d+\))?|Turn \d+/\d+)[ \t*]*+:",
    re.MULTILINE | re.IGNORECASE,
)

_TOOL_CALL = re.compile(
    r"^[ \t]*+<[/|]?(?:antml:)?(?:function_calls?|invoke|tool_calls?|code|execute|python|repl)\b",
    re.MULTILINE | re.IGNORECASE,
)
"""Code as a call of a tool that nobody offered: it is not run, and the model is told so."""


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
        other_code: Whether there is code, as fenced Python or as a tool call in the text, that is
            not to be executed.
        has_repl: Whether there is a block tagged `repl`.
    """

    text: str
    blocks: tuple[str, ...]
    answer: TextAnswer | None
    cut: int = 0
    cut_short: bool = False
    cut_answer: bool = False
    other_code: bool = False
    has_repl: bool = False


class ReplyReader:
    """Reads the replies of one conversation, one after the other.

    Args:
        python_fences: Whether blocks tagged `python` are executed where a reply has none tagged
            `repl`. `auto`: until the model has shown that it knows `repl`.
    """

    def __init__(self, python_fences: PythonFences) -> None:
        self._python_fences = python_fences
        self._knows_repl = False

    def read(self, text: str, *, complete: bool = True) -> ParsedReply:
        """Find what the next reply asks for.

        Args:
            text: The model's reply, without thoughts.
            complete: As for `parse_reply`.
        """
        python = self._python_fences
        if python == "auto":
            python = not self._knows_repl
        parsed = parse_reply(text, python_fences=python, complete=complete)
        self._knows_repl = self._knows_repl or parsed.has_repl
        return parsed


def parse_reply(text: str, *, python_fences: bool = False, complete: bool = True) -> ParsedReply:
    """Find the code and the final answer in a reply.

    Args:
        text: The model's reply, without thoughts.
        python_fences: Whether ```` ```python ```` fences are executed when the reply has no
            ```` ```repl ```` fence.
        complete: Whether the model said all it had to say; else a last block without a closing
            fence was cut short and must not be executed, and neither is an answer whose
            parenthesis is not closed one.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    fences = find_fences(text)
    has_repl = any(fence.language == REPL and fence.code.strip() for fence in fences)
    wanted = PYTHON if python_fences and not has_repl else frozenset({REPL})
    end = _imitation_start(text, fences, wanted)
    kept = [fence for fence in fences if fence.start < end]
    found = find_answer(text[:end], kept, complete=complete)
    if found is not None and REPL not in wanted:
        # Python that is part of an answer is what the user asked for.
        kept = [fence for fence in kept if not found.start <= fence.start < found.end]
    code = [fence for fence in kept if fence.language in wanted and fence.code.strip()]
    cut_short = bool(code) and not code[-1].closed and not complete
    return ParsedReply(
        text=text[:end].rstrip() if end < len(text) else text,
        blocks=tuple(fence.code for fence in (code[:-1] if cut_short else code)),
        answer=None if found is None else found.answer,
        cut=len(text) - end,
        cut_short=cut_short,
        cut_answer=found is not None and found.answer is None,
        other_code=any(fence.language in PYTHON - wanted for fence in kept)
        or (not code and _TOOL_CALL.search(text) is not None),
        has_repl=has_repl,
    )


def text_outside_code(text: str) -> str:
    """Return what a reply says outside its fenced blocks.

    Args:
        text: The model's reply.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    parts, position = [], 0
    for fence in find_fences(text):
        parts.append(text[position : fence.start].strip())
        position = fence.end
    parts.append(text[position:].strip())
    return "\n\n".join(part for part in parts if part)


def _imitation_start(text: str, fences: Sequence[Fence], wanted: frozenset[str]) -> int:
    """Return where, after a block of code, the reply plays the REPL itself; else its length."""
    first = next((fence.end for fence in fences if fence.language in wanted), None)
    if first is None:
        return len(text)
    for match in _IMITATION.finditer(text, first):
        if fence_at(fences, match.start()) < 0:
            return match.start()
    return len(text)
