"""Hostile text does nothing to a terminal or a notebook page."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rlm.render.safe_markdown import fenced, plain_as_markdown, safe_markdown
from rlm.render.safe_text import one_line, safe_text, some_lines, without_ansi

NASTY = st.text(
    st.sampled_from(list("a[]()<>!`~\\:/#&;\"' \n\t$*-|=1.\x1b\x07\r\x9b\u202e\u2066"))
    | st.characters()
)
MARKUP = st.lists(
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "<!-- ",
            "![x](http://evil/p.png)",
            "![x][ref]",
            "![",
            "[x](javascript:alert(1))",
            "[x](<javascript:alert(1)>)",
            "[x](\njavascript:alert(1))",
            "[x](&#106;avascript:alert(1))",
            "[ref]: javascript:alert(1)",
            "[ref]:\n  data:text/html,x",
            "[ref]: http://good",
            "[ref]",
            "<javascript:alert(1)>",
            "[x](http://good/a_(b))",
            '[x](https://good "title")',
            "[x](mailto:a@b.c)",
            "](", "[", "]", "(", ")", "!", "\\", "`", "``", "```", "````", "~~~", "```html",
            "> ", "- ", "1. ", "    ", "  ", "\t", "\n", "\n\n", "$$", "\\(", "text", "\\href{",
            "|", "---", "===", "# ", "&lt;", "&#60;b&#62;", "[^1]", "[^1]: x", "\r",
            "\x0b", "\u2028",
        ]
    ),
    max_size=12,
).map("".join)  # fmt: skip

RENDERERS = [
    MarkdownIt("commonmark", {"html": True}),
    MarkdownIt("gfm-like", {"html": True, "linkify": False}),
]


def what_a_page_would_do(markdown: str) -> list[str]:
    """Name everything in rendered Markdown that is neither text nor a link that we keep."""
    found = []
    for renderer in RENDERERS:
        # The real renderer refuses javascript: itself; another one may not.
        renderer.validateLink = lambda _: True  # type: ignore[method-assign]
        for block in renderer.parse(markdown):
            for token in (block, *(block.children or ())):
                if token.type in {"html_block", "html_inline", "image"}:
                    found.append(f"{token.type}: {token.content}")
                href = str(token.attrs.get("href", "http://"))
                if not re.match(r"https?://|mailto:", href):
                    found.append(f"link: {href}")
    return found


@given(MARKUP | NASTY)
@example("```\n<b>\n~~~\n</b>")
@example("`a\n<script>`")
@example("- ```\n<script>\n")
def test_no_markdown_of_a_model_acts_on_a_page(text: str) -> None:
    assert what_a_page_would_do(safe_markdown(text)) == []
    # A renderer that takes code for prose must find nothing either, outside our own fences.
    assert what_a_page_would_do("\n".join(_without_our_fences(safe_markdown(text)))) == []


def _without_our_fences(markdown: str) -> list[str]:
    lines, closing = [], ""
    for line in markdown.split("\n"):
        if closing:
            closing = "" if line == closing else closing
        elif match := re.match(r"`{3,}", line):
            closing = match[0]
        else:
            lines.append(line)
    assert not closing, "our fences are always closed"
    return lines


@given(st.lists(MARKUP | NASTY, min_size=1, max_size=3))
def test_plain_text_and_code_stay_what_they_are_in_markdown(texts: list[str]) -> None:
    page = "\n\n".join(
        part
        for text in texts
        for part in (plain_as_markdown(one_line(text)), fenced(text, "python"))
    )
    assert what_a_page_would_do(page) == []
    fences = [token for token in RENDERERS[0].parse(page) if token.type == "fence"]
    assert [token.content for token in fences] == [f"{safe_text(text)}\n" for text in texts]


def test_ordinary_markdown_is_left_as_it_is() -> None:
    text = (
        "# Title\n\nSome **bold** text with `code`, a [link](https://example.org/a_(b)) and\n"
        "- a list\n- [mail](mailto:a@example.org)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n$x^2$"
    )
    assert safe_markdown(text) == text


def test_code_in_fences_stays_letter_by_letter() -> None:
    code = "if a <b and c[0](1):\n    vec![1]  # ``` \n"
    assert safe_markdown(f"Look:\n````python\n{code}````\nDone.") == (
        f"Look:\n\n````python\n{code}````\n\nDone."
    )


def test_html_is_shown_not_run_and_images_are_their_address() -> None:
    assert safe_markdown("<b>x</b>") == "&lt;b>x&lt;/b>"
    shown = safe_markdown("![a cat](https://evil.example/cat.png?q=secret)")
    assert shown == "image: a cat https://evil.example/cat.png?q=secret"


@pytest.mark.parametrize("address", ["javascript:alert(1)", "file:///etc/passwd", "data:x", "/x"])
def test_other_links_are_text(address: str) -> None:
    assert safe_markdown(f"[x]({address})") == f"[x]\\({address})"


def test_tex_cannot_link_and_diagrams_are_code() -> None:
    assert "\\href" not in safe_markdown("$\\href{javascript:alert(1)}{x}$")
    assert "mermaid" not in safe_markdown("```mermaid\ngraph TD\n```")


@given(NASTY)
def test_a_terminal_gets_nothing_but_text(text: str) -> None:
    shown = safe_text(text)
    assert not [c for c in shown if unicodedata.category(c) == "Cc" and c != "\n"]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    shown.encode()
    assert safe_text(shown) == shown
    assert "\n" not in one_line(text)
    assert len(one_line(text, 20)) <= 20
    assert len(some_lines(text, lines=4, limit=30)) <= 4
    assert all(len(line) <= 30 for line in some_lines(text, lines=4, limit=30))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("\x1bP1;2|payload\x1b\\ok", "ok"),
        ("\x1b]0;never ended\nnext line", "\nnext line"),
        ("a\x00b\x08c\x07d", "abcd"),
        ("a\tb", "a   b"),
        ("one\r\ntwo", "one\ntwo"),
        (" 10%\r 50%\r100%\n", "100%\n"),
        ("done\r", "done"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("hidden\U000e0041", "hidden\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("a\u2028b", "a\nb"),
        ("plain é 漢字 😀", "plain é 漢字 😀"),
    ],
)
def test_what_a_terminal_shows(text: str, shown: str) -> None:
    assert safe_text(text) == shown


def test_colours_are_taken_out_of_tracebacks() -> None:
    assert without_ansi("\x1b[0;31mValueError\x1b[0m: \x1b[1;32mno\x1b[39;49m") == "ValueError: no"


def test_long_text_is_cut_where_people_see_that_it_was() -> None:
    assert one_line("word " * 1000, 10) == "word word…"
    lines = some_lines("\n".join(map(str, range(1000))), lines=5)
    assert lines == ["0", "1", "… 996 more lines", "998", "999"]
    assert some_lines("x" * 10_000_000, lines=5, limit=10) == ["xxxxxxxxx…", "…", "xxxxxxxxx…"]
    assert some_lines("", lines=5) == []
    assert some_lines("a\n\n", lines=5) == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        "![](a",
        "![a](http://b",
        "](http://",
        "](http://a(",
        "`a``",
        "~~~",
        "![",
        "\x1b]0;",
        "é",
        "]: a",
    ],
)
def test_no_text_makes_the_patterns_slow(text: str) -> None:
    # A search that is quadratic in the length runs into the timeout of the test.
    for long in (text * 100_000, text + "a" * 500_000, text + "~" * 500_000 + "`"):
        assert safe_markdown(long) is not None
        assert safe_text(long) is not None
