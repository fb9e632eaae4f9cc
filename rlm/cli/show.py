"""`rlm show`: prints a recorded run as a tree, or one of its turns in full."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rlm.cli.exit_codes import Exit
from rlm.cli.load_log import recorded
from rlm.cli.styled_lines import print_lines
from rlm.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from rlm.render.outline import Line
    from rlm.trajectory import Trajectory


def show(options: argparse.Namespace) -> int:
    """Print the run, or one turn of it."""
    trajectory = recorded(options.file, options.run)
    if options.turn is not None:
        from rlm.render.view import STYLES

        lines = _turn(trajectory, options.turn)
        print_lines((f"{'  ' * line.level}{line.text}", STYLES[line.role]) for line in lines)
    elif sys.stdout.isatty():
        from rich import print as rich_print

        from rlm.render.view import as_tree

        rich_print(as_tree(trajectory))
    else:
        from rlm.render.view import as_text

        sys.stdout.write(as_text(trajectory))
    return Exit.OK


def _turn(trajectory: Trajectory, number: int) -> Iterator[Line]:
    from rlm.render.turn import whole_turn

    turns = trajectory.root.turns if trajectory.root is not None else []
    for turn in turns:
        if turn.started.number == number:
            return whole_turn(turn)
    numbers = f"{turns[0].started.number} to {turns[-1].started.number}" if turns else "none"
    raise ConfigurationError(f"--turn {number}: the run has no such turn (it has {numbers}).")
