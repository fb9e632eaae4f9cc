"""Writes the manuals in docs/magics.md: `python -m rlm_ipython.reference docs/magics.md`."""

from __future__ import annotations

import inspect
import os
import re
import sys
import textwrap
from pathlib import Path

from rlm_ipython.defaults import Defaults
from rlm_ipython.magics import RLMMagics

_BLOCK = re.compile(r"(<!-- (?P<name>\S+) -->\n```text\n).*?(\n```)", re.DOTALL)


def manuals() -> dict[str, str]:
    """Return what ``%%rlm?``, ``%rlm?`` and ``%config RLMMagics`` print, by the magic's name."""
    return {
        "%%rlm?": inspect.cleandoc(str(RLMMagics.ask.__doc__)).removeprefix("::").strip("\n"),
        "%rlm?": inspect.cleandoc(str(RLMMagics.manage.__doc__)).removeprefix("::").strip("\n"),
        "%config": _defaults(),
    }


def updated(page: str) -> str:
    """Return a Markdown page with today's manual in the block below each manual's name."""
    known = manuals()
    return _BLOCK.sub(lambda block: f"{block[1]}{known[block['name']]}{block[3]}", page)


def _defaults() -> str:
    """Return the traits with their defaults, some of which environment variables set."""
    lines = []
    for name, trait in sorted(Defaults.class_own_traits(config=True).items()):
        lines.append(f"RLMMagics.{name} = {trait.default()!r}")
        lines += textwrap.wrap(trait.help, 94, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


if __name__ == "__main__":
    for name in ("RLM_BACKEND", "RLM_MODEL"):
        os.environ.pop(name, None)
    file = Path(sys.argv[1])
    file.write_text(updated(file.read_text("utf-8")), "utf-8")
