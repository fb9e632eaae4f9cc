"""Hostile text in the outputs of a notebook in JupyterLab, and whether it did anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = "\n\n".join(
    [
        "<img src=x onerror='window.hurt=1'>",
        "<script>window.hurt=1</script>",
        "[click](javascript:window.hurt=1)",
        "<button data-commandlinker-command='notebook:delete-cell'>x</button>",
        "![remote](http://127.0.0.1:9/remote.png)",
        "<svg onload='window.hurt=1'></svg>",
        "<iframe srcdoc='<script>parent.hurt=1</script>'></iframe>",
        "access\u202e level",
        "long " + "x" * 1_000_000,
    ]
)

ACTIVE = ", ".join(
    f".jp-OutputArea {active}"
    for active in (
        *(
            "script",
            "iframe",
            "object",
            "embed",
            "a[href^='javascript']",
            "img:not([src^='data:'])",
        ),
        *("[onerror]", "[onload]", "[data-commandlinker-command]"),
    )
)

LINKS = """() => [...document.querySelectorAll('.jp-OutputArea a')]
    .map(link => link.getAttribute('href')).filter(href => href !== null)"""


class Watch:
    """A page of a Jupyter server on which whatever a hostile text may do is noted.

    Args:
        page: Before the text is on it.
        url: The server's: nothing else has to be asked for anything.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.noted: list[str] = []
        self._own = (url, "data:", "blob:")
        page.on("request", lambda request: self._requested(request.url))
        page.on("dialog", lambda dialog: (self.noted.append(dialog.message), dialog.dismiss()))
        page.on("popup", lambda other: self.noted.append(other.url))

    def assert_nothing_happened(self) -> None:
        """Fail if something ran, was loaded, asked or opened, or waits in an output to be."""
        assert self.page.evaluate("() => window.hurt") is None
        assert self.page.locator(ACTIVE).count() == 0
        links = self.page.evaluate(LINKS)
        assert [link for link in links if not link.startswith(("http", "mailto:", "#"))] == []
        assert self.noted == []

    def _requested(self, url: str) -> None:
        if not url.startswith(self._own):
            self.noted.append(url)
