"""What a model thought, taken off what it said.

Servers without a reasoning parser leave thoughts in the reply. They stand between tags at its
beginning; templates that write the opening tag themselves (Qwen's, DeepSeek's) leave only the
closing one in the reply.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rlm.fence_lines import BLANK
from rlm.fences import fence_at, find_fences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm.fences import Fence

_NAME = r"(?:[a-z]\w*[:_])?(?:think(?:ing)?|thoughts?|reasoning)|antthinking"
_CHANNEL = r"(?:<\|start\|>\s*+assistant)?<\|channel\|>"
_OPENING = (
    rf"<(?P<xml>{_NAME})(?:\s[^<>\n]*+|/)?>"
    r"|\[(?P<brackets>(?-i:THINK))\]"
    r"|◁(?P<triangles>think)▷"
    rf"|<\|(?P<bars>{_NAME})\|>"
    r"|<\|begin_of_(?P<begin>thoughts?)\|>"
    r"|<\|start_(?P<start>thinking)\|>"
    rf"|{_CHANNEL}(?P<channel>analysis|commentary)[^<\n]*+<\|message\|>"
    r"|<\|channel>(?P<gemma>thought)\s"
)
_CLOSING = (
    rf"</(?P<xml_>{_NAME})\s*+>"
    r"|\[/(?P<brackets_>(?-i:THINK))\]"
    r"|◁/(?P<triangles_>think)▷"
    rf"|<\|/(?P<bars_>{_NAME})\|>"
    r"|<\|end_of_(?P<begin_>thoughts?)\|>"
    r"|<\|end_(?P<start_>thinking)\|>"
    r"|(?P<gemma_><channel\|>)"
)
_CHANNEL_END = rf"|(?P<channel_>(?:<\|end\|>|<\|return\|>)|(?={_CHANNEL}final))"
_OPENER = re.compile(_OPENING, re.IGNORECASE)
_TAG = re.compile(f"{_OPENING}|{_CLOSING}{_CHANNEL_END}", re.IGNORECASE)
_ORPHAN = re.compile(rf"^{BLANK}*+(?:{_CLOSING}){BLANK}*+$", re.IGNORECASE | re.MULTILINE)
_SPACE = re.compile(rf"(?:\s|{BLANK}|<\|im_start\|>(?:assistant)?)*+")
_FINAL_CHANNEL = re.compile(rf"\s*+{_CHANNEL}final[^<\n]*+<\|message\|>", re.IGNORECASE)
_FINAL_END = re.compile(r"<\|(?:end|return)\|>\s*+\Z")
_QUOTES = frozenset("`'\"“”\u2018\u2019«»")


def split_thoughts(text: str) -> tuple[str, str]:
    """Take the thoughts off a reply.

    An opening tag counts only where the reply begins with it, after white space: text about such
    tags stays text. Thoughts that never end are all there is. Without an opening tag, a closing one
    alone on its line, outside fences, ends thoughts that began with the reply.

    Args:
        text: A model's reply, as it came.

    Returns:
        The thoughts and the reply without them; a reply that has none is returned as it is.
    """
    if _TAG.search(text) is None:
        return "", text
    source = text.replace("\r\n", "\n").replace("\r", "\n")
    fences = find_fences(source)
    thoughts: list[str] = []
    position, is_sure = 0, True
    while is_sure and (opener := _opener_at(source, position)):
        start, position, is_sure = _closing(source, opener, fences)
        thoughts.append(source[opener.end() : start])
    if not position and (orphan := _orphan(source, fences)):
        thoughts.append(source[: orphan.start()])
        position = orphan.end()
    if final := _FINAL_CHANNEL.match(source, position):
        ending = _FINAL_END.search(source, final.end())
        said = source[final.end() : ending.start() if ending else len(source)]
    else:
        said = source[position:].lstrip() if position else text
    return "\n\n".join(filter(None, map(str.strip, thoughts))), said


def _opener_at(text: str, position: int) -> re.Match[str] | None:
    """Return the opening tag with which a text begins."""
    space = _SPACE.match(text, position)
    return _OPENER.match(text, space.end() if space else position)


def _closing(text: str, opener: re.Match[str], fences: Sequence[Fence]) -> tuple[int, int, bool]:
    """Return where thoughts end, where the reply goes on, and whether that is beyond doubt.

    A tag in quotes is talked about. One in a block of code is the code's, unless it begins its line
    and nothing opens it there: then it was the block that nobody closed.
    """
    kind = str(opener.lastgroup)
    name = opener[kind].lower()
    if opener[0].endswith("/>"):
        return opener.end(), opener.end(), True
    spare, opened_in = None, -1
    for tag in _TAG.finditer(text, opener.end()):
        found = str(tag.lastgroup)
        if found.rstrip("_") != kind or _is_quoted(text, tag):
            continue
        fence = fence_at(fences, tag.start())
        if found == kind:
            if kind == "channel":  # The next thoughts begin without an end of these.
                return tag.start(), tag.start(), True
            opened_in = fence
            continue
        spare = spare or tag
        begins_line = not text[text.rfind("\n", 0, tag.start()) + 1 : tag.start()].strip()
        if tag[found].lower() != name and kind in {"xml", "bars"}:
            continue
        if fence < 0 or (begins_line and opened_in != fence):
            return tag.start(), tag.end(), True
    if spare is not None:
        return spare.start(), spare.end(), False
    return len(text), len(text), False


def _orphan(text: str, fences: Sequence[Fence]) -> re.Match[str] | None:
    """Return the closing tag of thoughts that began with the reply."""
    openers = (tag for tag in _OPENER.finditer(text) if not _is_quoted(text, tag))
    first = next((tag.start() for tag in openers), len(text))
    for tag in _ORPHAN.finditer(text, 0, first):
        fence = fence_at(fences, tag.start())
        if fence < 0 or not fences[fence].closed or fences[fence].forgotten:
            return tag
    return None


def _is_quoted(text: str, tag: re.Match[str]) -> bool:
    return text[max(0, tag.start() - 1) : tag.start()] in _QUOTES and (
        text[tag.end() : tag.end() + 1] in _QUOTES
    )
