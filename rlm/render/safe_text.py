"""Models' and programs' text made harmless for terminals.

What a model writes and what its code prints is hostile: it may hold escape sequences that move the
cursor, retitle the window or answer for the user, and bidirectional controls that reorder text.
"""

from __future__ import annotations

import re

# ECMA-48: strings (OSC, DCS, SOS, PM, APC) up to their terminator, control sequences, and
# two-character escapes, each with its 8-bit form. An unfinished string ends with its line.
_ANSI = re.compile(
    r"""(?: \x1b[\]PX^_] | [\x9d\x90\x98\x9e\x9f] ) [^\x07\x1b\x9c\n]* (?: \x07 | \x1b\\ | \x9c )?
    | (?: \x1b\[ | \x9b ) [0-?]* [ -/]* [@-~]?
    | \x1b [ -/]* [0-~]?""",
    re.VERBOSE,
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Shown escaped, not dropped: bidirectional controls, invisible tag characters, which hide text
# from people, and lone surrogates, which no encoding for a terminal has.
_INVISIBLE = re.compile(
    "[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)
_LINE_ENDS = re.compile("\r\n|[\x0b\x0c\x85\u2028\u2029]")
_HARMLESS = re.compile(r"[\n -~]*")


def without_ansi(text: str) -> str:
    """Return text without terminal escape sequences."""
    return _ANSI.sub("", text)


def safe_text(text: str) -> str:
    r"""Return text that a terminal shows as it is, line by line.

    Escape sequences and control characters are dropped, tabs become spaces, a line with carriage
    returns shows its last state, as in a terminal, and invisible characters that reorder or hide
    text are spelled out, as ``\u202e``.
    """
    if _HARMLESS.fullmatch(text):
        return text
    text = _LINE_ENDS.sub("\n", without_ansi(text)).expandtabs(4)
    if "\r" in text:
        # What stands before a carriage return was overwritten.
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return visible(text)


def visible(text: str) -> str:
    r"""Return text without control characters, and invisible ones spelled out, as ``\u202e``.

    Line ends and tabs stay.
    """
    if text.isascii() and _HARMLESS.fullmatch(text):
        return text
    text = _CONTROLS.sub("", text)
    return _INVISIBLE.sub(lambda match: ascii(match[0])[1:-1], text)


def one_line(text: str, limit: int = 100) -> str:
    """Return the beginning of a text on one line, safe for a terminal.

    It has at most `limit` characters; the last one is an ellipsis when text was cut.
    """
    # The rest is not even read: the text may be a whole context.
    line = " ".join(safe_text(text[: limit * 8]).split())
    return line if len(line) <= limit and len(text) <= limit * 8 else line[: limit - 1] + "…"


def some_lines(text: str, *, lines: int, limit: int = 160) -> list[str]:
    """Return the first and last lines of a text, safe for a terminal, long lines cut.

    Args:
        text: Of any length.
        lines: The most lines to return, three or more; one of them counts those left out.
        limit: The most characters of a line.
    """
    text = text.rstrip("\n")
    if not text:
        return []
    total = text.count("\n") + 1
    part = lines * limit * 2
    if len(text) > 2 * part:
        text = f"{text[:part]}\n…\n{text[-part:]}"
    shown = safe_text(text).split("\n")
    if len(shown) > lines:
        first, last = lines // 2, (lines - 1) // 2
        left_out = total - first - last
        middle = f"… {left_out:,} more lines" if left_out > 1 else "…"
        shown = [*shown[:first], middle, *shown[-last:]]
    return [line if len(line) <= limit else line[: limit - 1] + "…" for line in shown]


def truncate(text: str, limit: int, *, head_only: bool = False) -> str:
    """Return at most `limit` characters of the text, and the number of those left out.

    With `head_only` these are the first ones; else half are the first and half the last.
    """
    left_out = len(text) - limit
    if left_out <= 0:
        return text
    if head_only:
        return f"{text[:limit]}... + [{left_out} chars...]"
    head = limit - limit // 2
    return f"{text[:head]}... + [{left_out} chars...]\n{text[-(limit // 2) :]}"
