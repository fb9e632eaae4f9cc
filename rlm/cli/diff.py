"""`rlm diff`: prints how two recorded runs differ."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rlm.cli.exit_codes import Exit
from rlm.cli.load_log import recorded
from rlm.cli.styled_lines import print_lines

if TYPE_CHECKING:
    import argparse

_STYLES = {"  +": "green", "  -": "red"}


def diff(options: argparse.Namespace) -> int:
    """Print how the runs differ; exit code 1 if they do."""
    from rlm.render.difference import readable_difference

    lines = readable_difference(recorded(options.first), recorded(options.second))
    if not lines:
        sys.stderr.write("The runs did the same.\n")
        return Exit.OK
    print_lines((line, _style(line)) for line in lines)
    return Exit.ERROR


def _style(line: str) -> str:
    return _STYLES.get(line[:3], "bold" if line and not line.startswith(" ") else "")
