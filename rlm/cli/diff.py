"""`rlm diff`: how two recorded runs differ."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rlm.cli.exit_codes import Exit
from rlm.cli.load_log import recorded

if TYPE_CHECKING:
    import argparse

_STYLES = {"  +": "green", "  -": "red"}


def diff(options: argparse.Namespace) -> int:
    """Print how the runs differ.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: There is no such file, or its format cannot be read.
        TrajectoryError: A file is damaged.
    """
    from rlm.render.difference import readable_difference

    lines = readable_difference(recorded(options.first), recorded(options.second))
    if not lines:
        sys.stderr.write("The runs did the same.\n")
        return Exit.ANSWER
    if not sys.stdout.isatty():
        sys.stdout.writelines(f"{line}\n" for line in lines)
        return Exit.ERROR
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in lines:
        style = _STYLES.get(line[:3], "bold" if line and not line.startswith(" ") else "")
        console.print(Text(line, style=style), soft_wrap=True)
    return Exit.ERROR
