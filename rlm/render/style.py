"""The style of the HTML: inline in a notebook, a style sheet on a page.

JupyterLab strips style sheets and `var()` from a notebook that is not trusted. So a fragment has
its styles in its elements, and its colours are inherited or of a middle lightness, which is legible
on a light theme and on a dark one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from rlm.render.text_html import code_css

_LINE = "rgba(128,128,128,0.35)"
_MONO = "font-family:monospace;font-size:90%"
_BOX = f"margin:4px 0;padding:4px 8px;white-space:pre-wrap;overflow-wrap:break-word;{_MONO}"
_QUOTE = "margin:6px 0;padding:2px 12px;overflow-wrap:break-word;border-left:4px solid"

INLINE = {
    "all": "font-size:13px;line-height:1.45",
    "badge": "font-weight:bold",
    "good": "font-weight:bold;color:#2b874a",
    "bad": "font-weight:bold;color:#cf4f4f",
    "quiet": "opacity:0.75",
    "answer": f"{_QUOTE} #2b874a",
    "partial": f"{_QUOTE} #a07714",
    "question": "font-size:110%;font-weight:bold;overflow-wrap:break-word",
    "asked": "font-weight:bold;overflow-wrap:break-word",
    "node": f"margin:2px 0;padding-left:10px;border-left:1px solid {_LINE}",
    "head": "cursor:pointer;overflow-wrap:break-word",
    "prose": "overflow-wrap:break-word",
    "code": f"{_BOX};background-color:rgba(128,128,128,0.12)",
    "text": f"{_BOX};border-left:2px solid {_LINE}",
    "error": f"{_BOX};border-left:2px solid #cf4f4f",
    "rich": "margin:4px 0;overflow:auto",
    "note": "color:#a07714",
    "table": "font-size:100%;border-collapse:collapse;margin:4px 0",
}
"""What each role looks like in a fragment."""

SHEET = """\
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --good: #1a7f37; --bad: #c9302c;
  --warn: #8a6100; --link: #0969da; --page: #fff; --ink: #1f2328; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #ff7b72; --warn: #d8a520;
  --link: #6cb6ff; --page: #111418; --ink: #e0e4ea; } }
body { background: var(--page); color: var(--ink); max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; }
a { color: var(--link); }
pre, .code, .text, .error { font: 13px/1.45 ui-monospace, Menlo, Consolas, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; margin: .35rem 0; padding: .5rem .75rem;
  border-radius: 6px; }
pre, .code { background: var(--soft); }
.text { border-left: 3px solid var(--line); border-radius: 0; background: none; }
.error { border-left: 3px solid var(--bad); border-radius: 0; background: none; }
.question { font-size: 1.35rem; font-weight: 600; overflow-wrap: anywhere; margin: 0 0 .5rem; }
.asked { font-weight: 600; overflow-wrap: anywhere; margin: 0 0 .5rem; }
.answer, .partial { border-left: 4px solid var(--good); padding: .1rem 1rem; margin: 1rem 0;
  background: var(--soft); overflow-wrap: anywhere; }
.partial { border-left-color: var(--warn); }
.good, .bad, .badge { font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } .note { color: var(--warn); }
.quiet { opacity: .75; font-variant-numeric: tabular-nums; }
.node { border-left: 1px solid var(--line); margin: .15rem 0; padding-left: .75rem; }
.head { cursor: pointer; padding: .1rem 0; overflow-wrap: anywhere; }
.head:hover { background: var(--soft); }
.prose { overflow-wrap: anywhere; }
.rich { overflow: auto; margin: .35rem 0; }
.rich img, img { max-width: 100%; background: #fff; }
table { border-collapse: collapse; font-size: 13px; }
th, td { border: 1px solid var(--line); padding: .15rem .5rem; text-align: right; }
@media print { .node { break-inside: avoid-page; } }
"""
"""The style sheet of a page: each role is a class."""


@dataclass(frozen=True, slots=True)
class Look:
    """How roles become attributes.

    Attributes:
        classes: Whether they are classes of a style sheet, and not styles of the element.
        attributes: By role, the text that follows a tag's name.
    """

    classes: bool
    attributes: dict[str, str]

    @classmethod
    def inline(cls) -> Look:
        """Return the look of a fragment."""
        return cls(
            classes=False, attributes={role: f' style="{css}"' for role, css in INLINE.items()}
        )

    @classmethod
    def sheet(cls) -> Look:
        """Return the look of a page."""
        return cls(classes=True, attributes={role: f' class="{role}"' for role in INLINE})


@cache
def style_sheet() -> str:
    """Return a page's style sheet, with the colours of its code."""
    light, dark = code_css("default", "pre"), code_css("github-dark", "pre")
    return f"{SHEET}{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
