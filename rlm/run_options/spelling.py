"""How errors name an option: as the door spells it through which the user came."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from rlm.run_options.option import ARGUMENT, DOOR, Door, Place
from rlm.run_options.table import key_option

if TYPE_CHECKING:
    from collections.abc import Iterator

_door: ContextVar[Door | None] = ContextVar("rlm_door", default=None)


@contextmanager
def through(door: Door | None) -> Iterator[None]:
    """Have errors that are raised within name options as a door does; without one, as `RLM` does.

    Args:
        door: Where the user gave the options; None: as arguments.
    """
    token = _door.set(door)
    try:
        yield
    finally:
        _door.reset(token)


def spelled(name: str, place: Place = ARGUMENT) -> str:
    """Return what the user calls an option: ``max_budget``, ``--budget``, ``RLMMagics.prices``."""
    row, door = key_option(name, place), _door.get()
    if door is not None and door in row.doors:
        return row.spelling
    if door == "magic" and row.trait:
        return f"RLMMagics.{row.trait}"
    if place not in {ARGUMENT, DOOR}:
        whole = spelled(place)
        return f"{whole} {name!r}" if whole.startswith("--") else f"{whole}[{name!r}]"
    return f"RLMMagics.extra[{name!r}]" if door == "magic" and place == ARGUMENT else name


def assigned(name: str, value: str, place: Place = ARGUMENT) -> str:
    """Return how the user gives an option a value: ``max_budget=1.0``, ``--budget 1.0``.

    Args:
        name: The argument or key.
        value: As it is written there.
        place: What takes it.
    """
    called = spelled(name, place)
    if called.startswith("--"):
        return f"{called} {value}"
    return f"%config {called} = {value}" if called.startswith("RLMMagics") else f"{called}={value}"
