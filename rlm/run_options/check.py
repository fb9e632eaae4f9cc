"""Checks `RLM`'s arguments against their types and bounds in the table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rlm.errors import ArgumentError, ConfigurationError
from rlm.run_options.spelling import spelled
from rlm.run_options.table import option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rlm.run_options.option import RunOption

_CLASSES: dict[str, tuple[type, ...]] = {
    "dict": (dict,),
    "list": (list, tuple),
    "str": (str,),
}


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Check the types and bounds of arguments."""
    for name, value in arguments.items():
        row = option(name)
        if row.kind in {"int", "float"}:
            _check_number(row, value)
        elif value is None:
            continue
        elif row.kind == "Callable":
            if not callable(value):
                raise ArgumentError(f"{spelled(name)} must be callable, not {_type(value)}.")
        elif not isinstance(value, _CLASSES.get(row.kind, object)):
            raise ArgumentError(f"{spelled(name)} must be a {row.kind}, not {_type(value)}.")


def check_count(name: str, value: Any, *, minimum: int = 1) -> None:
    """Check a whole number inside an argument."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentError(f"{name} must be a whole number, not {value!r}.")
    if value < minimum:
        raise ConfigurationError(f"{name} must be at least {minimum}, not {value!r}.")


def _check_number(row: RunOption, value: Any) -> None:
    """Check a number against its row; refuse NaN."""
    if value is None and row.optional:
        return
    name = spelled(row.name)
    allowed = int if row.kind == "int" else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        noun = "a whole number" if row.kind == "int" else "a number"
        raise ArgumentError(f"{name} must be {noun}, not {value!r}.")
    enough = value > row.minimum if row.above else value >= row.minimum
    most = math.inf if row.maximum is None else row.maximum
    if enough and value <= most and value != math.inf:
        return
    bounds = f"{'more than' if row.above else 'at least'} {row.minimum:g}"
    if row.maximum is not None:
        bounds += f" and at most {row.maximum:g}"
    raise ConfigurationError(f"{name} must be {bounds}, not {value!r}.")


def _type(value: Any) -> str:
    return type(value).__name__
