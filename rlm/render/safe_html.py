"""A sandbox's HTML, SVG and images made harmless for pages that trust what we publish.

The one place that lets foreign markup through. What survives is what tables, lists and
text are made of: no script, handler, form, frame or id, no style that loads, moves or
covers something, no request to anywhere, and no attribute that a front end acts on, such as
JupyterLab's ``data-commandlinker-command``.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import cache
from html import escape, unescape
from typing import TYPE_CHECKING

from rlm.render.safe_markdown import NOTHING, TEX
from rlm.render.safe_text import visible

if TYPE_CHECKING:
    import nh3

HTML_LIMIT = 200_000
"""How many characters of HTML are parsed; of a longer text only the length is shown."""

SVG_LIMIT = 1_000_000
"""How many characters of SVG are parsed."""

IMAGE_LIMIT = 8_000_000
"""How many characters an image's base64 may have."""

TAG_LIMIT = 5_000
"""How many tags that can nest are parsed; the cells and rows of a table are not counted."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TEXT_TAGS = _words(
    "a abbr b bdi blockquote br caption code col colgroup dd del details dfn div dl dt em "
    "figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span "
    "strong sub summary sup table tbody td tfoot th thead time tr u ul var wbr"
)
_TEXT_ATTRIBUTES = {
    "*": {"style", "title", "align", "valign"},
    "a": {"href"},
    "col": {"span"},
    "colgroup": {"span"},
    "details": {"open"},
    "img": {"src", "alt", "width", "height"},
    "li": {"value"},
    "ol": {"start", "reversed", "type"},
    "table": {"border"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
# What colours and sets text, and nothing that could cover the rest of the page.
_TEXT_STYLES = _words(
    "background-color border border-bottom border-collapse border-color border-left border-right "
    "border-spacing border-style border-top border-width color font-family font-style font-weight "
    "padding padding-bottom padding-left padding-right padding-top text-align text-decoration "
    "vertical-align white-space"
)
_DRAWING_TAGS = _words(
    "circle clipPath defs desc ellipse g line linearGradient path polygon polyline "
    "radialGradient rect stop svg text title tspan use"
)
# Only these may be referred to: shapes without content, so that a drawing of ten lines cannot
# repeat itself a billion times.
_REFERRED_TAGS = _words(
    "circle clipPath ellipse line linearGradient path polygon polyline radialGradient rect"
)
_NESTED_CLIPS = re.compile(r"<clipPath(?:(?!</clipPath>).)*?(?:clip-path|<clipPath)", re.DOTALL)
_DRAWING_ATTRIBUTES = _words(
    "clip-path clip-rule clipPathUnits cx cy d dominant-baseline dx dy fill fill-opacity fill-rule "
    "font-family font-size font-style font-weight fx fy gradientTransform gradientUnits height "
    "href id letter-spacing offset opacity points preserveAspectRatio r rotate rx ry "
    "spreadMethod stop-color stop-opacity stroke stroke-dasharray stroke-dashoffset "
    "stroke-linecap stroke-linejoin stroke-miterlimit stroke-opacity stroke-width style "
    "text-anchor textLength transform version viewBox width x x1 x2 xlink:href y y1 y2"
)
_DRAWING_STYLES = _words(
    "clip-path clip-rule fill fill-opacity fill-rule font font-family font-size font-style "
    "font-weight letter-spacing opacity stop-color stop-opacity stroke stroke-dasharray "
    "stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit stroke-opacity "
    "stroke-width text-anchor"
)
_REMOVED_WITH_CONTENT = _words(
    "embed frame frameset iframe math noembed noframes noscript object plaintext script style "
    "template textarea title xmp"
)
# In a style: whatever fetches, computes, or hides a name by escapes.
_ACTIVE_STYLE = re.compile(
    r"url|image|expression|import|var|env|attr|binding|behavior|[\\@]", re.IGNORECASE
)
_LOCAL_REFERENCE = re.compile(r"url\(\s*[\"']?#[\w:.-]+[\"']?\s*\)")
_FOREIGN = re.compile(r"<(?:svg|math)", re.IGNORECASE)
_ANY_TAG = re.compile(r"<[A-Za-z]")
_NESTING_TAG = re.compile(
    r"<(?!(?:td|th|tr|tbody|thead|tfoot|br|hr|img|col|wbr)[\s/>])[A-Za-z]", re.IGNORECASE
)
_ADDRESS = re.compile(r"(?:https?://|mailto:)[^\s<>\"'`\\\x00-\x20]+", re.IGNORECASE)
# nh3 writes every attribute in double quotes, without one inside.
_IMAGE = re.compile(r'<img((?: [\w:-]+="[^"]*")*)>')
_SOURCE = re.compile(r' src="([^"]*)"')
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif);base64,[A-Za-z0-9+/=\s]*")
# A formula may be a link or load something; renderers skip formulas in preformatted text.
_TEX_OR_CODE = re.compile(rf"<(pre|code)[ >].*?</\1>|{TEX.pattern}", re.DOTALL)
_SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


def safe_html(html: str) -> str:
    """Return a program's HTML as a well-formed fragment that only shows something.

    Tables (also a DataFrame's), lists, headings, text and its colours stay; links to http(s) and
    mailto addresses stay links; remote images are shown as their address. HTML that is too long or
    too deep to be parsed is only named.
    """
    if trouble := _too_much(html, HTML_LIMIT):
        return _named(f"HTML {trouble}")
    cleaned = visible(_html_cleaner().clean(visible(html)))
    if "<img" in cleaned:
        cleaned = _IMAGE.sub(_local_or_named, cleaned)
    return without_tex(cleaned)


def svg_image(svg: str) -> str:
    """Return an SVG drawing as an ``<img>``, in which browsers run and load nothing.

    It is sanitised first: no script, animation, style sheet, foreign object or reference to
    anything outside it.
    """
    if trouble := _too_much(svg, SVG_LIMIT):
        return _named(f"an SVG drawing {trouble}")
    cleaned = visible(_svg_cleaner().clean(visible(svg)))
    start, end = cleaned.find("<svg"), cleaned.rfind("</svg>")
    if not 0 <= start < end:
        return _named("an SVG drawing without an svg element is not shown")
    if _NESTED_CLIPS.search(cleaned):
        return _named("an SVG drawing of nested clips is not shown")
    # From HTML to XML: one entity that XML does not know, and the name spaces.
    drawing = cleaned[start + 4 : end + 6].replace("&nbsp;", "&#160;")
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    data = base64.b64encode(f"<svg {names}{drawing}".encode()).decode()
    return f'<img alt="drawing" src="data:image/svg+xml;base64,{data}">'


def picture(mime: str, data: str) -> str:
    """Return a PNG or JPEG as an ``<img>``; what is neither is only named."""
    signature = _SIGNATURES.get(mime)
    if signature is None or len(data) > IMAGE_LIMIT:
        return _named(f"an image ({mime:.40}) of {len(data):,} characters is not shown")
    data = "".join(data.split())
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content.startswith(signature):
        return _named(f"an image that is not {mime} is not shown")
    return f'<img alt="image" src="data:{mime};base64,{data}">'


def without_tex(html: str) -> str:
    """Return HTML in which no formula is a link or loads something, whatever renders it."""
    if "\\" not in html:
        return html
    return _TEX_OR_CODE.sub(lambda found: found[0] if found[1] else f"\\{NOTHING}", html)


def web_address(address: str) -> bool:
    """Whether a link may have this address: http, https or mailto, without odd characters."""
    return bool(_ADDRESS.fullmatch(address))


def _named(what: str) -> str:
    return f"<em>[{escape(visible(what))}]</em>"


def _too_much(markup: str, limit: int) -> str:
    """Return why markup is too much for a parser; empty when it is not."""
    if len(markup) > limit:
        return f"of {len(markup):,} characters is not shown"
    # Parsing takes time with the square of the depth, and each level needs a tag of these. In a
    # drawing, where table cells nest, every tag counts.
    tags = _ANY_TAG if _FOREIGN.search(markup) else _NESTING_TAG
    count = sum(1 for _ in tags.finditer(markup))
    return f"of {count:,} elements is not shown" if count > TAG_LIMIT else ""


@cache
def _html_cleaner() -> nh3.Cleaner:
    import nh3

    return nh3.Cleaner(
        tags=set(_TEXT_TAGS),
        attributes={tag: set(names) for tag, names in _TEXT_ATTRIBUTES.items()},
        clean_content_tags=set(_REMOVED_WITH_CONTENT | {"svg"}),
        attribute_filter=_html_attribute,
        filter_style_properties=set(_TEXT_STYLES),
        url_schemes={"http", "https", "mailto", "data"},
        url_relative="deny",
        link_rel="noopener noreferrer",
    )


@cache
def _svg_cleaner() -> nh3.Cleaner:
    import nh3

    return nh3.Cleaner(
        tags=set(_DRAWING_TAGS),
        attributes={"*": set(_DRAWING_ATTRIBUTES)},
        clean_content_tags=set(_REMOVED_WITH_CONTENT - {"title"} | {"foreignObject", "metadata"}),
        attribute_filter=_svg_attribute,
        filter_style_properties=set(_DRAWING_STYLES),
        url_schemes=set(),
        link_rel=None,
    )


def _html_attribute(tag: str, name: str, value: str) -> str | None:
    if name == "style":
        return None if _ACTIVE_STYLE.search(value) else value
    if name == "href":
        return value if web_address(value.strip()) else None
    if tag == "img" and name == "src":
        return value if _PICTURE.fullmatch(value) or web_address(value.strip()) else None
    return value


def _svg_attribute(tag: str, name: str, value: str) -> str | None:
    if name == "id":
        return value if tag in _REFERRED_TAGS else None
    if name in {"href", "xlink:href"}:
        return value if value.startswith("#") else None
    return None if _ACTIVE_STYLE.search(_LOCAL_REFERENCE.sub("", value)) else value


def _local_or_named(image: re.Match[str]) -> str:
    source = _SOURCE.search(image[1])
    address = unescape(source[1]) if source else ""
    if _PICTURE.fullmatch(address):
        return image[0]
    return _named(f"image: {address}" if address else "image")
