"""Spells an option in errors as the user does: as an argument, a flag or a trait."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from rlm.errors import (
    BudgetExceededError,
    ErrorThresholdExceededError,
    LimitExceededError,
    TimeoutExceededError,
    TokenLimitExceededError,
)
from rlm.run_options.option import ARGUMENT, DOOR, Door, Place
from rlm.run_options.table import key_option, option

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMITS: dict[type[LimitExceededError], str] = {
    BudgetExceededError: "max_budget",
    TimeoutExceededError: "max_timeout",
    TokenLimitExceededError: "max_tokens",
    ErrorThresholdExceededError: "max_errors",
}

_door: ContextVar[Door | None] = ContextVar("rlm_door", default=None)


@contextmanager
def through(door: Door | None) -> Iterator[None]:
    """Make errors raised in the `with` block spell options as a door does; None: as `RLM` does."""
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
    """Return how the user gives an option a value: ``max_budget=1.0``, ``--budget 1.0``."""
    called = spelled(name, place)
    if called.startswith("--"):
        return f"{called} {value}"
    if not called.startswith("RLMMagics"):
        return f"{called}={value}"
    trait, bracket, _ = called.partition("[")
    return f"%config {trait} = " + (f'{{"{name}": {value}}}' if bracket else value)


def how_to_allow_more(error: LimitExceededError) -> str:
    """Return the advice to raise the limit that ended a run, as the user spells it."""
    name = next((name for kind, name in _LIMITS.items() if isinstance(error, kind)), None)
    if name is None:
        return ""
    return f"Allow more with {assigned(name, option(name).metavar or 'N')}."
