"""What the site needs beyond mkdocs' plugins: notebooks as pages, and links that leave docs/."""  # noqa: INP001 - a hook of mkdocs, no package

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

_LINK_OUT = re.compile(r"\]\((?P<path>(?:\.\./)+[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE)
_HREF = re.compile(r'href="(?P<path>(?!\w+:|#|/)[^"#]+)(?P<anchor>#[^"]*)?"')


@event_priority(100)  # before mkdocs-jupyter, which turns notebooks into pages
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks, which are not in docs/."""
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        name = notebook.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links to what is outside docs/, such as ``../rlm/events.py``."""
    del files
    folder = (Path(config.docs_dir) / page.file.src_uri).parent

    def rewritten(link: re.Match[str]) -> str:
        target = (folder / link["path"]).resolve()
        if target.is_relative_to(config.docs_dir) or not target.exists():
            return link[0]  # mkdocs checks it
        if target.suffix == ".ipynb":
            up = "../" * page.file.src_uri.count("/")
            return f"]({up}{target.relative_to(ROOT).as_posix()}{link['anchor'] or ''})"
        return f"]({_in_repository(target, config)}{link['anchor'] or ''})"

    return _LINK_OUT.sub(rewritten, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take the scripts out of a notebook's page, and make its links those of the site.

    nbconvert's template loads MathJax, mermaid and the widgets' manager from other hosts. The
    notebooks need none of them: what they show is in the page.
    """
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    folder = (ROOT / page.file.src_uri).parent

    def rewritten(link: re.Match[str]) -> str:
        target = (folder / link["path"]).resolve()
        in_docs = target.is_relative_to(config.docs_dir)
        source = target.relative_to(config.docs_dir if in_docs else ROOT).as_posix()
        file = files.get_file_from_path(source)
        address = file.url_relative_to(page.file) if file else _in_repository(target, config)
        return f'href="{address}{link["anchor"] or ""}"'

    return _HREF.sub(rewritten, _SCRIPT.sub("", html))


def _in_repository(target: Path, config: MkDocsConfig) -> str:
    """Return the address of a file of this repository that is no page of the site."""
    kind = "tree" if target.is_dir() else "blob"
    return f"{config.extra['source']}/{kind}/main/{target.relative_to(ROOT).as_posix()}"
