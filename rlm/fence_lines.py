"""Lines with a fence in them: what stands before the marks and behind, and which language it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

UNSEEN = "\xad\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff"
_BLANKS = f" \t\f\v\xa0\u1680\u2000\u2002\u2003\u2009\u200a\u202f\u205f\u3000{UNSEEN}"
BLANK = f"[{_BLANKS}]"
"""A blank, or a character that nobody sees, such as a byte order mark or a zero-width space."""

REPL = "repl"
PYTHON = frozenset({"python", "py", "python3", "py3", "ipython", "ipython3"})
_DECORATION = frozenset({"code", "block", "cell", "exec", "run"})

# Possessive quantifiers (`*+`), because replies are anybody's text: no backtracking.
_FENCE_LINE = re.compile(r"^([^`~\n]*+)(`{3,}+|~{3,}+)([^\n]*+)$", re.MULTILINE)
_PLAIN = re.compile(rf"(?:{BLANK}|>)*+")
LIST = re.compile(rf"(?:{BLANK}|>|[-*+•](?={BLANK})|\d{{1,3}}[.)](?={BLANK}))*+")
MARKUP = re.compile(
    rf"(?:{BLANK}|>|[-*+•](?={BLANK})|\d{{1,3}}[.)](?={BLANK})|\#|\*\*|<[/|]?[A-Za-z][^<>]*+>)*+"
)
_TAG = re.compile(
    rf"([{{\[(<]?){BLANK}*+\.?(?:lang(?:uage)?[=:])?[\"']?"
    r"([A-Za-z][\w+#]*+(?:[-:/.][A-Za-z0-9]++)*+)[\"']?"
)
_MORE_TAGS = re.compile(
    r"(?:[,;:/ \t]++(?:repl|i?python3?|py3?|code|block|cell)\b(?!\s*[=(.\[,]))*+", re.IGNORECASE
)
_BRACKET_END = re.compile(r"[^\]})>\n]*+[\]})>]")
_ATTRIBUTES = re.compile(r"[ \t]*+\{[ \t]*+(?:[.#][\w-]|\w++[ \t]*+=)[^{}]*+\}")
LEAKED = re.compile(r"(?:\s*+<[/|\uff5c]?[A-Za-z][^<>\s]{0,40}+>)++\s*+")
"""Stop tokens that a server should have kept to itself, such as `<|im_end|>`."""


@dataclass(frozen=True, slots=True)
class FenceLine:
    """A line with a fence in it.

    Attributes:
        start: Where the line begins in the text.
        end: Where it ends.
        before: What stands before the marks.
        marks: Backticks or tildes, three at least.
        behind: What stands behind them, without blanks around it.
        plain: Whether there is nothing before them but blanks and marks of quotes.
        depth: How many quotes it stands in.
    """

    start: int
    end: int
    before: str
    marks: str
    behind: str
    plain: bool
    depth: int

    @property
    def bare(self) -> bool:
        """Whether there is nothing but the marks, and marks of quotes."""
        return self.plain and not self.behind

    def matches(self, opening: FenceLine) -> bool:
        """Whether its marks may close a fence, as CommonMark has it."""
        return self.marks.startswith(opening.marks)


def fence_lines(text: str) -> list[FenceLine]:
    """Return the lines of a text with a fence in them; the marks are the first of the line.

    Args:
        text: Its lines end in a line feed alone.
    """
    return [_line(match) for match in _FENCE_LINE.finditer(text)]


def _line(match: re.Match[str]) -> FenceLine:
    before, behind = match[1], match[3].strip(_BLANKS)
    depth = before.count(">") if LIST.fullmatch(before) else 0
    is_plain = _PLAIN.fullmatch(before) is not None
    return FenceLine(match.start(), match.end(), before, match[2], behind, is_plain, depth)


def is_glued(line: FenceLine, opening: FenceLine) -> bool:
    """Whether marks stand at the end of a line of code, perhaps with a stop token behind.

    Args:
        line: Any line.
        opening: What began the block.
    """
    is_last = not line.behind or LEAKED.fullmatch(line.behind) is not None
    return is_last and not line.plain and line.marks[0] == opening.marks[0]


def language_of(behind: str) -> tuple[str, str]:
    """Return a fence's language, and the code that stands on the same line.

    Args:
        behind: What stands behind the marks: a word, perhaps in brackets or with attributes.
    """
    match = _TAG.match(behind)
    if match is None:
        return behind.split(maxsplit=1)[0].lower() if behind else "", ""
    words = re.split(r"[-:/.]", match[2].lower())
    if REPL in words and {REPL, *PYTHON, *_DECORATION}.issuperset(words):
        language = REPL
    elif words[0] in PYTHON:
        language = words[0]
    else:
        return match[2].lower(), ""
    position = match.end()
    if more := _MORE_TAGS.match(behind, position):
        position = more.end()
        if REPL in re.split(r"\W", more[0].lower()):
            language = REPL
    for pattern in (_BRACKET_END if match[1] else None, _ATTRIBUTES):
        if pattern is not None and (decoration := pattern.match(behind, position)):
            position = decoration.end()
    return language, behind[position:].lstrip(f"{_BLANKS};,:")
