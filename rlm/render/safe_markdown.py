r"""Models' Markdown made harmless for pages that trust what we publish.

JupyterLab trusts a cell's own output: it evaluates HTML in Markdown, scripts included. Renderers
also disagree about where code ends, so nothing here relies on one of them: fenced code gets a new
fence that no renderer can misread, and everything else is harmless as code and as prose.
"""

from __future__ import annotations

import re

from rlm.render.safe_text import safe_text

# Possessive repeats: a hostile text must not make a search backtrack for hours.
_FENCE = re.compile(r"^[ ]*+(`{3,}+|~{3,}+)[ ]*+([\w+#.-]*+)[^`\n]*+$")
_CODE_SPAN = re.compile(r"(?<![`\\])(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_IMAGE = re.compile(r"!\[([^\[\]]*+)\]\(\s*+<?+([^\s()<>]*+)>?+[^()]*+\)")
# The end of a link's text, unless an address that we keep follows, with at most a title: no
# spaces, quotes, escapes or entities, parentheses only in pairs.
_ADDRESS = r"(?:https?://|mailto:)(?:[^\s()<>\"'\\&]|&(?![#\w]*;)|\([^\s()<>\"'\\&]*\))*"
_LINK_END = re.compile(rf"\]\((?!{_ADDRESS}(?:[ ]\"[^\"<>\\&]*\")?\))")
_DEFINITION = re.compile(r"\]:(?!\s+(?:https?://|mailto:)[^\s<>\"'\\]*\s*$)", re.MULTILINE)
# TeX that acts outside the formula: links, attributes, packages, and ways to spell them.
TEX = re.compile(
    r"\\(?=href|url|html|class|cssId|style|data|require|includegraphics|csname|unicode|def\b|let\b)"
)
# An entity may be any character, also one that reorders or hides text.
_HIDING = re.compile(r"&(?=#|[lr]lm;)")
NOTHING = "\u2060"  # word joiner: invisible, and "<" followed by it begins no tag


def safe_markdown(text: str) -> str:
    """Return a model's text as Markdown that only shows it.

    Raw HTML is escaped, images are shown as their address, and only links to http(s) and mailto
    addresses stay links. Escape sequences and invisible controls are treated as by `safe_text`.
    """
    written: list[str] = []
    prose: list[str] = []
    code: list[str] = []
    opening = ""
    indent = 0
    language = ""
    for line in safe_text(text).split("\n"):
        if opening:
            bare = line.strip(" ")
            if len(bare) >= len(opening) and not bare.strip(opening[0]):
                written.append(fenced("\n".join(code), language))
                opening, code = "", []
            else:
                code.append(line[indent:] if not line[:indent].strip() else line)
        elif match := _FENCE.match(line):
            written.append(_prose("\n".join(prose)))
            prose = []
            opening, language = match[1], match[2]
            indent = len(line) - len(line.lstrip(" "))
        else:
            prose.append(line)
    if opening:
        written.append(fenced("\n".join(code), language))
    else:
        written.append(_prose("\n".join(prose)))
    return "\n\n".join(part for part in (each.strip("\n") for each in written) if part)


def fenced(code: str, language: str = "") -> str:
    """Return a fenced block that nothing in the code can close."""
    code = safe_text(code)
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    tag = re.sub(r"[^A-Za-z0-9+#.-]", "", language)
    # JupyterLab draws mermaid's code, with one more interpreter of a model's text.
    tag = "" if tag.lower() == "mermaid" else tag
    return f"{fence}{tag}\n{code}\n{fence}"


def plain_as_markdown(text: str) -> str:
    """Return plain text as Markdown that shows it letter by letter."""
    text = re.sub(r"([\\`*_{}\[\]()#+.!|~$:^=-])", r"\\\1", safe_text(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _prose(text: str) -> str:
    """Return Markdown outside our fences, made harmless line by line."""
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    # After four spaces it may be code, in which entities are not decoded.
    if line.startswith("    "):
        return _inert(line)
    written: list[str] = []
    end = 0
    for span in _CODE_SPAN.finditer(line):
        written += [_inline(line[end : span.start()]), _inert(span[0])]
        end = span.end()
    return "".join([*written, _inline(line[end:])])


def _inline(text: str) -> str:
    text = _IMAGE.sub(lambda image: f"image: {image[1]} {image[2]}", text)
    text = _HIDING.sub("&amp;", text).replace("![", "!\\[").replace("<", "&lt;")
    return _harmless(text)


def _inert(text: str) -> str:
    """Return text that is probably code, harmless also where a renderer takes it for prose."""
    text = text.replace("<", f"<{NOTHING}").replace("![", f"!{NOTHING}[")
    text = _HIDING.sub(f"&{NOTHING}", text)
    return _harmless(text.replace("](", f"]{NOTHING}(").replace("]:", f"]{NOTHING}:"))


def _harmless(text: str) -> str:
    text = _LINK_END.sub(r"]\\(", text)
    text = _DEFINITION.sub(r"]\\:", text)
    text = re.sub(r"`{3,}|~{3,}", lambda run: "\\" + "\\".join(run[0]), text)
    return TEX.sub(rf"\\{NOTHING}", text)
