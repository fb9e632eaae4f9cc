"""What the site needs beyond mkdocs' plugins: notebooks as pages, links that leave docs/."""  # noqa: INP001 - a hook of mkdocs, no package

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

_LINK_OUT = re.compile(r"\]\((?:\.\./)+(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE)


@event_priority(100)  # before mkdocs-jupyter, which turns notebooks into pages
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks, which are not in docs/."""
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        name = notebook.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Link to the repository what a page links to outside docs/, such as ``../rlm/events.py``."""
    del files
    folder = (Path(config.docs_dir) / page.file.src_uri).parent

    def rewritten(link: re.Match[str]) -> str:
        target = (folder / link[0][2:-1].partition("#")[0]).resolve()
        if not target.exists() or target.is_relative_to(config.docs_dir):
            return link[0]  # mkdocs checks it
        path = target.relative_to(ROOT).as_posix()
        if path.endswith(".ipynb"):  # a page of this site; docs/ is its root
            return link[0].replace("../notebooks/", "notebooks/", 1)
        return f"]({config.extra['source']}/blob/main/{path}{link['anchor'] or ''})"

    return _LINK_OUT.sub(rewritten, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take the scripts out of the notebooks' pages.

    nbconvert's template loads MathJax, mermaid and the widgets' manager from other hosts. The
    notebooks need none of them: what they show is in the page.
    """
    del config, files
    return _SCRIPT.sub("", html) if page.file.src_uri.endswith(".ipynb") else html
