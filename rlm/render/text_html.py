"""Models' and programs' text as HTML in which all markup is ours.

Plain text, terminal text with its colours, Markdown, and highlighted code. Colours have a middle
lightness, so that they are legible on white and on black.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from rlm.render.safe_html import web_address, without_tex
from rlm.render.safe_text import safe_text, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from pygments.formatters import HtmlFormatter

CODE_COLORS = {
    "Keyword": "bold #9b59d0",
    "Operator.Word": "bold #9b59d0",
    "Name.Builtin": "#2a80c5",
    "Name.Function": "#2a80c5",
    "Name.Class": "bold #2a80c5",
    "Name.Decorator": "#b5691c",
    "Name.Exception": "#cf4f4f",
    "Literal.String": "#2b874a",
    "Literal.String.Interpol": "bold #2b874a",
    "Literal.Number": "#b5691c",
    "Comment": "italic #7c7c7c",
    "Error": "#cf4f4f",
}
"""The colour of each pygments token."""

_TERMINAL = ("#7c7c7c", "#cf4f4f", "#2b874a", "#a07714", "#2a80c5", "#9b59d0", "#16899b", "#7c7c7c")
"""The eight colours of a terminal."""

_SGR = re.compile(r"\x1b\[([0-9;:]{0,40})m")
_LONGEST_LINE = 5_000
"""Characters; a longer line is data, and lexers are slow on it."""

_LANGUAGES = frozenset(
    ("bash", "diff", "html", "javascript", "js", "json", "py", "pycon", "python", "sh", "sql")
)
"""What is highlighted: a model chooses the language, and not every lexer is safe with its text."""


def text_html(text: str) -> str:
    """Return text as HTML that shows it letter by letter."""
    return escape(safe_text(text))


def terminal_html(text: str) -> str:
    """Return terminal output as HTML: its colours as spans, other escape sequences dropped."""
    if "\x1b[" not in text:
        return text_html(text)
    # What stands before a carriage return was overwritten.
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    text = "\n".join(lines)
    written: list[str] = []
    style = _TerminalStyle()
    end = 0
    for sequence in _SGR.finditer(text):
        written.append(style.dress(text[end : sequence.start()]))
        style.take(sequence[1])
        end = sequence.end()
    written.append(style.dress(text[end:]))
    return "".join(written)


def code_html(code: str, language: str = "python", *, classes: bool = False) -> str:
    """Return highlighted code, for a ``<pre>``; other languages than `_LANGUAGES` are plain text.

    With `classes`, colours are pygments' classes (see `code_css`) and not inline styles.
    """
    from pygments import highlight

    code = safe_text(code)
    if language not in _LANGUAGES or max(map(len, code.split("\n"))) > _LONGEST_LINE:
        return escape(code)
    shown: str = highlight(code, _lexer(language), _formatter(classes=classes))
    return shown.rstrip("\n")


def code_css(style: str, selector: str) -> str:
    """Return the style sheet for the HTML of `code_html(..., classes=True)`."""
    from pygments.formatters import HtmlFormatter

    sheet: str = HtmlFormatter(style=style, classprefix="k-").get_style_defs(selector)
    # Its background would not be the page's.
    return "\n".join(line for line in sheet.split("\n") if "background" not in line)


def markdown_html(text: str, *, classes: bool = False) -> str:
    """Return a model's Markdown as HTML: its HTML escaped, its images shown as their address.

    Only links to http(s) and mailto addresses are links.
    """
    # An entity may name a character that `safe_text` would have removed.
    return without_tex(visible(_markdown().render(safe_text(text), {"classes": classes})))


@cache
def _lexer(language: str) -> Any:
    from pygments.lexers import get_lexer_by_name

    return get_lexer_by_name(language, stripnl=False)


@cache
def _formatter(*, classes: bool) -> HtmlFormatter[str]:
    from pygments.formatters import HtmlFormatter
    from pygments.style import Style
    from pygments.token import string_to_tokentype

    colors = {string_to_tokentype(name): color for name, color in CODE_COLORS.items()}
    style = type("MidTones", (Style,), {"styles": colors})
    return HtmlFormatter(nowrap=True, noclasses=not classes, classprefix="k-", style=style)


@cache
def _markdown() -> MarkdownIt:
    """Return the parser; `env["classes"]` says how its blocks of code are coloured."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "highlight": None})
    parser.enable(["table", "strikethrough"])
    parser.validateLink = web_address  # type: ignore[method-assign,assignment]
    parser.add_render_rule("image", _image)
    parser.add_render_rule("link_open", _link)
    for rule in ("fence", "code_block"):
        parser.add_render_rule(rule, _block)
    return parser


# markdown-it binds each rule to its renderer, the first argument.


def _image(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Any, _env: Any
) -> str:
    token = tokens[index]
    shown = " ".join(filter(None, [token.content, str(token.attrs.get("src", ""))]))
    return f"<em>[image: {escape(visible(shown))}]</em>"


def _link(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any
) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer")
    return renderer.renderToken(tokens, index, options, env)


def _block(
    _renderer: RendererHTML, tokens: Sequence[Token], index: int, _options: Any, env: Any
) -> str:
    token = tokens[index]
    language = (token.info.split() or [""])[0].lower()
    language = "python" if language == "repl" else language
    code = code_html(token.content.rstrip("\n"), language, classes=env["classes"])
    return f"<pre><code>{code}</code></pre>\n"


class _TerminalStyle:
    """The style after the sequences so far (ECMA-48, "select graphic rendition")."""

    def __init__(self) -> None:
        self._color = ""
        self._flags: dict[str, str] = {}

    def dress(self, text: str) -> str:
        """Return text in the current style."""
        shown = text_html(text)
        css = ";".join([*([f"color:{self._color}"] if self._color else []), *self._flags.values()])
        return f'<span style="{css}">{shown}</span>' if shown and css else shown

    def take(self, parameters: str) -> None:
        """Apply one sequence."""
        numbers = [int(each) if each else 0 for each in re.split("[;:]", parameters)]
        while numbers:
            number = numbers.pop(0)
            if number == 0:
                self._color, self._flags = "", {}
            elif number in _FLAGS:
                self._flags[_FLAGS[number].partition(":")[0]] = _FLAGS[number]
            elif number == 22:  # noqa: PLR2004 - "normal intensity"
                self._flags.pop("font-weight", None)
            elif number in _COLORS:
                self._color = _COLORS[number]
            elif number in {38, 48}:  # one of 256 colours, or any
                color = _extended(numbers)
                if number == 38:  # noqa: PLR2004 - the text's; 48 is the background's
                    self._color = color


_FLAGS = {1: "font-weight:bold", 3: "font-style:italic", 4: "text-decoration:underline"}
_COLORS = {
    **{30 + number: color for number, color in enumerate(_TERMINAL)},
    **{90 + number: color for number, color in enumerate(_TERMINAL)},
    39: "",
}


def _extended(numbers: list[int]) -> str:
    """Remove an extended colour's parameters from the list and return the colour."""
    kind = numbers.pop(0) if numbers else 0
    if kind == 5 and numbers:  # noqa: PLR2004 - as the standard numbers them
        number = numbers.pop(0)
        if number < 16:  # noqa: PLR2004 - the terminal's own
            return _TERMINAL[number % 8]
        if number < 232:  # noqa: PLR2004 - a cube of 6 x 6 x 6
            number -= 16
            steps = (0, 95, 135, 175, 215, 255)
            return _readable(steps[number // 36], steps[number // 6 % 6], steps[number % 6])
        return _TERMINAL[0]
    if kind == 2:  # noqa: PLR2004 - as the standard numbers them
        channels = [min(each, 255) for each in numbers[:3]]
        del numbers[:3]
        if len(channels) == 3:  # noqa: PLR2004 - red, green, blue
            return _readable(*channels)
    return ""


def _readable(red: int, green: int, blue: int) -> str:
    """Return a colour with a middle lightness, which is legible on white and on black."""
    lightness = 0.3 * red + 0.59 * green + 0.11 * blue
    if lightness < 1:
        return _TERMINAL[0]
    factor = min(max(lightness, 95), 140) / lightness
    return "#" + "".join(f"{min(255, round(each * factor)):02x}" for each in (red, green, blue))
