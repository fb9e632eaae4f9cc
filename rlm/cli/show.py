"""`rlm show`: prints a recorded run as a tree, or one of its turns in full."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rlm.cli.exit_codes import Exit
from rlm.cli.load_log import recorded
from rlm.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from rlm.render.outline import Line
    from rlm.trajectory import Trajectory


def show(options: argparse.Namespace) -> int:
    """Print the run.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: There is no such file, run or turn.
        TrajectoryError: The file is damaged.
    """
    trajectory = recorded(options.file, options.run)
    if options.turn is not None:
        _print(_turn(trajectory, options.turn))
    elif sys.stdout.isatty():
        from rich import print as rich_print

        from rlm.render.view import as_tree

        rich_print(as_tree(trajectory))
    else:
        from rlm.render.view import as_text

        sys.stdout.write(as_text(trajectory))
    return Exit.ANSWER


def _turn(trajectory: Trajectory, number: int) -> Iterable[Line]:
    from rlm.render.turn import whole_turn

    turns = trajectory.root.turns if trajectory.root is not None else []
    for turn in turns:
        if turn.started.number == number:
            return whole_turn(turn)
    numbers = f"{turns[0].started.number} to {turns[-1].started.number}" if turns else "none"
    raise ConfigurationError(f"--turn {number}: the run has no such turn (it has {numbers}).")


def _print(lines: Iterable[Line]) -> None:
    """Print lines, coloured on a terminal, and never wrapped, so that they can be copied."""
    if not sys.stdout.isatty():
        sys.stdout.writelines(f"{'  ' * line.level}{line.text}\n" for line in lines)
        return
    from rich.console import Console
    from rich.text import Text

    from rlm.render.view import STYLES

    console = Console(highlight=False)
    for line in lines:
        told = Text(f"{'  ' * line.level}{line.text}", style=STYLES[line.role])
        console.print(told, soft_wrap=True)
