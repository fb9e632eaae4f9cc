"""Writes docs/options.md, the table for people: `python -m rlm.run_options.reference FILE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rlm.run_options.option import ARGUMENT, BACKEND, DOOR, ENVIRONMENT, SAMPLING
from rlm.run_options.table import OPTIONS

if TYPE_CHECKING:
    from rlm.run_options.option import Place, RunOption

HEAD = """\
# Options of a run

Written by `make docs` from the table of run options; a test keeps it in step. `RLM` checks its
arguments by this table, and `rlm` and `%%rlm` make their flags of it.

*From a log* says what a replay, resume or fork does with the recorded value, because a log may come
from a stranger: `taken`: it uses it; `only lower`: it uses it unless it is above the default;
`given again`: it ignores it, and you give the value again if the run needs it. An argument that
holds other options is taken key by key.
"""

SECTIONS: dict[Place, tuple[str, str]] = {
    ARGUMENT: ("Arguments of `RLM`", "argument"),
    BACKEND: ("Keys of `backend_kwargs`", "key"),
    SAMPLING: ("Keys of `sampling_args` and `sub_sampling_args`", "key"),
    ENVIRONMENT: ("Keys of `environment_kwargs`", "key"),
    DOOR: ("Only for the command and the magic", "flag"),
}


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for place, (title, what) in SECTIONS.items():
        rows = [row for row in OPTIONS if row.place == place]
        if place == DOOR:
            parts.append(f"\n## {title}\n\n| {what} | given to | what it means |\n|---|---|---|\n")
            parts += [f"| `{row.spelling}` | {_doors(row)} | {_cell(row.help)} |\n" for row in rows]
            continue
        parts.append(
            f"\n## {title}\n\n| {what} | type | default | flag of | from a log | what it means |\n"
            "|---|---|---|---|---|---|\n"
        )
        parts += [
            f"| {_code(row.name)} | {_code(row.type)} | {_code(repr(row.default))} | {_flag(row)} "
            f"| {row.from_log} | {_cell(row.help)} |\n"
            for row in rows
        ]
    return "".join(parts)


def _flag(row: RunOption) -> str:
    return f"`{row.spelling}`: {_doors(row)}" if row.doors else ""


def _doors(row: RunOption) -> str:
    names = {"build": "rlm kernel build", "magic": "%%rlm"}
    return ", ".join(f"`{names.get(door, f'rlm {door}')}`" for door in row.doors)


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
