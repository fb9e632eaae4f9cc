"""Writes docs/cli.md, the command's help texts: `python -m rlm.cli.reference docs/cli.md`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rlm.cli.parser import parser

HEAD = """\
# The command `rlm`

`make docs` writes this page from the command itself; a test checks that it is up to date.
"""


def reference() -> str:
    """Return the page: what `rlm --help` and each command's `--help` print."""
    root = parser()
    actions = root._actions  # noqa: SLF001 - argparse has no public way to list commands
    commands = next(a for a in actions if isinstance(a, argparse._SubParsersAction))  # noqa: SLF001 - same
    pages = {"rlm": root} | {f"rlm {name}": sub for name, sub in commands.choices.items()}
    for name, page in list(pages.items()):
        below = (a for a in page._actions if isinstance(a, argparse._SubParsersAction))  # noqa: SLF001 - same
        if name != "rlm":
            pages |= {f"{name} {sub}": p for a in below for sub, p in a.choices.items()}
    parts = [
        f"\n## `{title}`\n\n```text\n{page.format_help().strip()}\n```\n"
        for title, page in pages.items()
    ]
    return HEAD + "".join(parts)


if __name__ == "__main__":
    # Defaults shown must not be this machine's.
    for name in ("RLM_BACKEND", "RLM_MODEL"):
        os.environ.pop(name, None)
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
