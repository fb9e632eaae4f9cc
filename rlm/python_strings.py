"""Where strings begin and end in Python code, as far as fences in them go."""

from __future__ import annotations

import ast
import re

_QUOTE = re.compile(r"#[^\n]*+|'''|\"\"\"|'|\"")
_STRING_END = {mark: re.compile(rf"(?:\\.|[^\\\n{mark}])*+{mark}") for mark in "'\""}
_TRIPLE_END = {
    mark * 3: re.compile(rf"(?:[^\\{mark}]|\\.|{mark}(?!{mark * 2}))*+{mark * 3}", re.DOTALL)
    for mark in "'\""
}
_LINE_MAGIC = re.compile(r"^([ \t]*+)[%!?][^\n]*+$", re.MULTILINE)


class PythonStrings:
    """Reads code piece by piece, and knows whether it stands in a triple-quoted string.

    Args:
        mark: The quotes of the string in which the code begins; empty when in none.
    """

    def __init__(self, mark: str = "") -> None:
        self._mark = mark
        self._in_comment = False

    @property
    def is_open(self) -> bool:
        """Whether what was read ends inside a string."""
        return bool(self._mark)

    def feed(self, text: str, start: int, end: int) -> None:
        """Read on.

        Args:
            text: The code and what stands around it.
            start: Where a line begins.
            end: Where to stop.
        """
        position, self._in_comment = start, False
        while position < end:
            if self._mark:
                closing = _TRIPLE_END[self._mark].match(text, position, end)
                if closing is None:
                    return
                position, self._mark = closing.end(), ""
                continue
            quote = _QUOTE.search(text, position, end)
            if quote is None:
                return
            position = quote.end()
            if quote[0][0] == "#":
                self._in_comment = position == end
            elif quote[0] in _TRIPLE_END:
                self._mark = quote[0]
            else:
                string = _STRING_END[quote[0]].match(text, position, end)
                line_end = text.find("\n", position, end)
                position = string.end() if string else (line_end if line_end >= 0 else end)

    def ends_code(self, line: str) -> bool:
        """Whether a line's end is code, neither a string nor a comment; nothing is read on.

        Args:
            line: What comes next.
        """
        ahead = PythonStrings(self._mark)
        ahead.feed(line, 0, len(line))
        return not ahead.is_open and not ahead._in_comment


def is_python(code: str) -> bool:
    """Whether the code parses, IPython's line magics taken out.

    Args:
        code: Anything.
    """
    plain = _LINE_MAGIC.sub(r"\1pass", code)
    try:
        compile(plain, "<reply>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
