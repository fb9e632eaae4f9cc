"""All rows, and functions to look one up."""

from __future__ import annotations

from rlm.run_options.arguments import ARGUMENTS
from rlm.run_options.backend_keys import ANY_KEY, BACKEND_KEYS, SAMPLING_KEYS
from rlm.run_options.behaviour import BEHAVIOUR
from rlm.run_options.door_options import DOOR_OPTIONS
from rlm.run_options.environment_keys import ENVIRONMENT_KEYS
from rlm.run_options.option import ARGUMENT, Logged, Place, RunOption

OPTIONS: tuple[RunOption, ...] = (
    *ARGUMENTS,
    *BEHAVIOUR,
    *BACKEND_KEYS,
    *SAMPLING_KEYS,
    *ENVIRONMENT_KEYS,
    *DOOR_OPTIONS,
)

_BY_NAME = {(row.place, row.name): row for row in OPTIONS}


def option(name: str, place: Place = ARGUMENT) -> RunOption:
    """Return the row of an argument or key."""
    return _BY_NAME[place, name]


def key_option(name: str, place: Place) -> RunOption:
    """Return the row of any key, even one that a log invented: such a row takes nothing."""
    unknown = RunOption(name=name, place=place)
    return _BY_NAME.get((place, name), _BY_NAME.get((place, ANY_KEY), unknown))


def logged_in(where: Logged) -> tuple[RunOption, ...]:
    """Return the arguments that a part of a log's configuration holds unchanged."""
    return tuple(row for row in OPTIONS if row.logged == where)
