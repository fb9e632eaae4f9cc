"""The site builds without a warning, shows every public name, and loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import rlm.api.approval
import rlm.backends
import rlm.errors
import rlm.events
import rlm.logger
import rlm.trajectory
import rlm.usage
import rlm_ipython
import rlm_ipython.viewer
import rlm_kernel.provisioner

ROOT = Path(__file__).parents[2]

NEEDED = ("mkdocs", "material", "mkdocstrings_handlers", "mkdocs_jupyter")

LOADING_LINKS = {
    "dns-prefetch",
    "icon",
    "manifest",
    "modulepreload",
    "preconnect",
    "prefetch",
    "preload",
    "stylesheet",
}
"""What a page loads, or connects to, for a `link` element."""

FOREIGN = re.compile(r"^\s*(https?:)?//", re.IGNORECASE)
FOREIGN_IN_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?\s*(?:https?:)?//", re.IGNORECASE)

PUBLIC = [
    f"{module.__name__}.{name}"
    for module in (
        rlm,
        rlm.api.approval,
        rlm.backends,
        rlm.errors,
        rlm.events,
        rlm.logger,
        rlm.trajectory,
        rlm.usage,
        rlm_ipython,
        rlm_ipython.viewer,
        rlm_kernel.provisioner,
    )
    for name in module.__all__
]


class Loads(HTMLParser):
    """What a page loads from other hosts, and what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []
        self.links: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._inside = tag
        addresses = [given.get("src", ""), given.get("data", ""), given.get("poster", "")]
        addresses += [part.strip() for part in given.get("srcset", "").split(",")]
        if tag == "link" and LOADING_LINKS & set(given.get("rel", "").split()):
            addresses.append(given.get("href", ""))
        if tag == "a":
            self.links.append(given.get("href", ""))
        if tag in {"image", "use"}:
            addresses += [given.get("href", ""), given.get("xlink:href", "")]
        self.foreign += [f"<{tag}> {a}" for a in addresses if FOREIGN.match(a)]
        self._style(given.get("style", ""))
        if "mermaid" in given.get("class", "").split():
            self.foreign.append(f"<{tag} class=mermaid>: Material loads its script from unpkg.com")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside if tag != self._inside else ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self._style(data)
        elif self._inside == "script" and re.search(r"https?://", data):
            self.foreign.append(f"<script> {data[:200]}")

    def _style(self, text: str) -> None:
        self.foreign += [f"style: {found[0]}" for found in FOREIGN_IN_STYLE.finditer(text)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs-site` does, with no way to the network through a proxy."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the site needs {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.timeout(300)
def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= 25
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert not loads.foreign, page.relative_to(site)


@pytest.mark.timeout(300)
def test_every_link_leads_somewhere(site: Path) -> None:
    for page in sorted(site.rglob("*.html")):
        if page.name == "404.html":  # its links are absolute: it may be shown anywhere
            continue
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        for link in loads.links:
            path = unquote(link.partition("#")[0])
            local = path and not re.match(r"\w+:", path)
            assert not local or (page.parent / path).exists(), (page.name, link)


@pytest.mark.timeout(300)
def test_no_style_sheet_loads_anything_from_another_host(site: Path) -> None:
    sheets = sorted(site.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        assert not FOREIGN_IN_STYLE.search(sheet.read_text(encoding="utf-8")), sheet.name


@pytest.mark.timeout(300)
def test_every_public_name_is_in_the_reference(site: Path) -> None:
    pages = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    shown = set(re.findall(r'id="([\w.]+)"', pages))
    missing = []
    for name in PUBLIC:
        module, _, own = name.rpartition(".")
        value = getattr(sys.modules[module], own)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue  # a constant or a union of types: shown where it is used
        elsewhere = ("rlm", "rlm.errors", "rlm.logger", "rlm.trajectory", "rlm.usage")
        if not shown & {name, *(f"{other}.{own}" for other in elsewhere)}:
            missing.append(name)
    assert not missing


@pytest.mark.timeout(300)
def test_the_notebooks_are_pages(site: Path) -> None:
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert (site / "notebooks" / f"{notebook.stem}.html").exists()


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<script>import("https://cdn.example/x.js")</script>',
        '<link rel="preconnect" href="https://fonts.example">',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<img srcset="a.png, https://cdn.example/a.png 2x">',
        "<style>@import url(https://cdn.example/x.css)</style>",
        '<p style="background: url(https://cdn.example/x.png)">',
        '<pre class="mermaid"></pre>',
    ],
)
def test_loads_from_another_host_are_found(page: str) -> None:
    loads = Loads()
    loads.feed(page)
    assert loads.foreign
