"""Makes the flags of a command or magic from the table's rows."""

from __future__ import annotations

import argparse
import keyword
import math
import os
from typing import TYPE_CHECKING, Any

from rlm.run_options.option import ARGUMENT
from rlm.run_options.table import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.run_options.option import Door, Flag, RunOption


def add_flags(parser: Any, door: Door, group: str = "") -> None:
    """Add a group of a door's flags to a parser or to an argument group, in the table's order."""
    for row in OPTIONS:
        flag = row.doors.get(door)
        if flag is not None and flag.group == group:
            _add(parser, row, flag, door)


def given(options: argparse.Namespace, door: Door) -> dict[str, Any]:
    """Return the arguments of `RLM` that are flags of a door: numbers and names."""
    return {
        row.name: getattr(options, row.dest)
        for row in OPTIONS
        if row.place == ARGUMENT and door in row.doors and row.kind in {"int", "float", "str"}
    }


def _add(parser: Any, row: RunOption, flag: Flag, door: Door) -> None:
    names = [flag.short, row.spelling] if flag.short else [row.spelling]
    text = flag.help or row.help
    settings: dict[str, Any] = {}
    if row.sets:
        settings |= {"action": "store_const", "dest": row.sets, "const": row.name}
    elif row.type == "bool":
        settings |= {"action": "store_true"}
    else:
        settings |= {"metavar": flag.metavar or row.metavar, "choices": row.choices or None}
        if row.type.startswith("list") or row.name == "var":
            settings |= {"action": "append"}
        if (parse := _PARSE.get(row.kind)) is not None:
            settings |= {"type": parse}
    # The defaults of other doors are the recorded values, or traits of the magics.
    if door == "run" and not flag.help:
        if row.environ:
            settings["default"] = os.environ.get(row.environ) or row.default
            other = f", else {row.default}" if row.default else ""
            text += f" (default: ${row.environ}{other})"
        elif row.default is not None and row.type != "bool":
            settings["default"] = row.default
            text += f" (default: {row.default})"
    parser.add_argument(*names, help=text, **settings)


def whole(text: str) -> int:
    """Parse a count, such as ``--max-depth 2``."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def positive(text: str) -> float:
    """Parse an amount above 0, such as ``--budget 0.5``."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of more than 0")
    return number


def _price(text: str) -> float:
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a variable's name")
    return text


_PARSE: dict[str, Callable[[str], Any]] = {
    "int": whole,
    "float": positive,
    "price": _price,
    "name": _name,
}
"""How to parse a flag's text, by the row's kind; any other kind stays text."""
