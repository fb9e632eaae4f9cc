from __future__ import annotations

import base64
import io
import re
from html import unescape
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from hostile import PAYLOADS, harm
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm.render.safe_html import HTML_LIMIT, TAG_LIMIT, picture, safe_html, svg_image
from rlm.render.text_html import code_html, markdown_html, terminal_html, text_html

FRAGMENTS = (
    *PAYLOADS,
    "<p",
    " title='",
    '"',
    "'>",
    "<b>",
    "</b>",
    "<table><tr><td>",
    "<a href=",
    "javascript:",
    "<svg>",
    "<math>",
    "</p>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "`",
    "[",
    "](",
    "\n\n",
    "&lt;",
    "&#x3c;",
    "\x1b[31m",
    "\u202e",
)
SOUP = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), max_size=12).map("".join)
RENDERERS = (safe_html, svg_image, markdown_html, code_html, terminal_html, text_html)


def drawing(image: str) -> ET.Element:
    """Return the drawing that an `<img>` holds."""
    match = re.fullmatch(r'<img alt="drawing" src="data:image/svg\+xml;base64,([^"]*)">', image)
    assert match, image
    return ET.fromstring(base64.b64decode(match[1]))


@pytest.mark.parametrize("render", RENDERERS)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_survives(payload: str, render: object) -> None:
    assert callable(render)
    assert harm(render(payload)) == []


@pytest.mark.parametrize("render", RENDERERS)
@settings(max_examples=50, deadline=None)
@given(soup=SOUP)
def test_no_mixture_of_payloads_survives(soup: str, render: object) -> None:
    assert callable(render)
    assert harm(render(soup)) == []


@settings(deadline=None)
@given(soup=SOUP)
def test_what_is_safe_stays_as_it_is(soup: str) -> None:
    once = safe_html(soup)
    assert safe_html(once) == once


def test_a_data_frame_stays_a_table() -> None:
    frame = pd.DataFrame({"whale": ["<b>white</b>", "blue"], "length": [18, 30]})
    table = safe_html(frame._repr_html_())
    assert table.count("<tr") == 3
    assert "<th>whale</th>" in table
    assert "<td>&lt;b&gt;white&lt;/b&gt;</td>" in table
    assert "text-align:right" in table


def test_colours_stay_and_what_covers_the_page_goes() -> None:
    kept = safe_html('<td style="color: red; position: fixed; font-weight: bold">x</td>')
    assert kept == "x"  # a cell without a table is text
    kept = safe_html('<p style="color: red; position: fixed; font-weight: bold">x</p>')
    assert kept == '<p style="color:red;font-weight:bold">x</p>'


def test_a_remote_image_is_shown_as_its_address() -> None:
    shown = safe_html('<img src="https://evil.example/x.png?a=1&b=2" alt="<b>">')
    assert shown == "<em>[image: https://evil.example/x.png?a=1&amp;b=2]</em>"
    shown = markdown_html("![a *whale*](https://evil.example/x.png)")
    assert "[image: a *whale* https://evil.example/x.png]" in shown


def test_links_to_the_web_stay_links() -> None:
    for render in (safe_html, markdown_html):
        shown = render('<a href="https://a.example/?q=1">x</a> [x](https://a.example/?q=1)')
        assert '<a href="https://a.example/?q=1" rel="noopener noreferrer">x</a>' in shown


def test_formulas_reach_nowhere_and_code_is_left_alone() -> None:
    for render in (safe_html, markdown_html):
        assert "\\href" not in render(r"<p>$\href{javascript:alert(1)}{x}$</p>")
    path = r"<pre>C:\data\style</pre>"
    assert safe_html(path) == path
    assert r"C:\data" in markdown_html("```\nC:\\data\n```")


def test_html_that_takes_long_to_parse_is_only_named() -> None:
    assert safe_html("<div>" * (TAG_LIMIT + 1)) == "<em>[HTML of 5,001 elements is not shown]</em>"
    assert "characters is not shown" in safe_html("x" * (HTML_LIMIT + 1))
    assert "elements is not shown" in safe_html("<svg>" + "<td>" * TAG_LIMIT)
    assert "elements is not shown" in svg_image("<svg>" + "<g>" * TAG_LIMIT)
    # A long table is flat.
    assert safe_html(f"<table>{'<tr><td>1<td>2' * 8_000}</table>").count("<td>") == 16_000


def test_a_plot_is_an_image_of_its_own() -> None:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots()
    axes.plot([1, 4, 9], label="whales")
    file = io.StringIO()
    figure.savefig(file, format="svg")
    plt.close(figure)
    picture_of_it = drawing(svg_image(file.getvalue()))
    tags = {element.tag.rpartition("}")[2] for element in picture_of_it.iter()}
    assert {"path", "use", "clipPath"} <= tags
    uses = [element for element in picture_of_it.iter() if element.tag.endswith("}use")]
    assert all(use.attrib["{http://www.w3.org/1999/xlink}href"].startswith("#") for use in uses)


def test_nothing_in_a_drawing_acts_or_refers_outside() -> None:
    shown = drawing(
        svg_image(
            '<svg onload="alert(1)"><script>alert(1)</script><style>*{fill:url(//e)}</style>'
            '<image href="https://evil.example/x"/><use xlink:href="https://evil.example/x#a"/>'
            '<a href="javascript:alert(1)"><text onclick="alert(1)">hi&nbsp;there</text></a>'
            '<set attributeName="href" to="x"/><rect fill="url(https://evil.example)"/></svg>'
        )
    )
    text = ET.tostring(shown, encoding="unicode")
    assert "hi\u00a0there" in text
    for word in ("script", "onload", "onclick", "evil", "style", "set", "image"):
        assert word not in text


def test_a_drawing_that_repeats_itself_a_billion_times_is_defused() -> None:
    levels = "".join(
        f'<g id="g{n + 1}">{f"<use href={chr(34)}#g{n}{chr(34)}/>" * 10}</g>' for n in range(9)
    )
    shown = drawing(svg_image(f'<svg><g id="g0"><path d="M0 0"/></g>{levels}</svg>'))
    assert not [element for element in shown.iter() if "id" in element.attrib]
    clips = '<svg><clipPath id="a"><path clip-path="url(#b)" d="M0 0"/></clipPath></svg>'
    assert "nested clips" in svg_image(clips)


def test_only_pictures_are_shown_as_pictures() -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8)).decode()
    assert picture("image/png", f"{png[:8]}\n{png[8:]}").startswith('<img alt="image" src="data:')
    for mime, data in (
        ("image/png", base64.b64encode(b"<svg onload=alert(1)>").decode()),
        ("image/jpeg", png),
        ("image/png", '"><script>alert(1)</script>'),
        ("image/svg+xml", png),
        ("image/png", "x" * 9_000_000),
    ):
        assert "<img" not in picture(mime, data)


def test_a_terminals_colours_become_spans() -> None:
    shown = terminal_html("\x1b[1;31mValueError\x1b[0m: <no> \x1b[38;5;200mpink\x1b[39m \x1b[2Jx")
    assert '<span style="color:#cf4f4f;font-weight:bold">ValueError</span>: &lt;no&gt; ' in shown
    assert ">pink</span> x" in shown
    assert terminal_html("10%\r\x1b[32m90%\x1b[0m") == '<span style="color:#2b874a">90%</span>'


@settings(deadline=None)
@given(text=st.text(st.sampled_from("\x1b[]0123456789;:mK\r\nab<"), max_size=60))
def test_any_terminal_text_is_shown(text: str) -> None:
    assert harm(terminal_html(text)) == []


def test_code_is_highlighted_and_its_text_unchanged() -> None:
    code = "def whale(x):\n    return '<b>' + x  # a comment"
    shown = code_html(code)
    assert "<span style=" in shown
    assert unescape(re.sub("<[^>]+>", "", shown)) == code
    assert 'class="k-k"' in code_html(code, classes=True)
    assert code_html("x" * 6_000) == "x" * 6_000
