"""Decides what a new run takes from a log, by the table of run options: a log may be hostile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rlm.errors import ConfigurationError
from rlm.run_options import (
    BACKEND,
    ENVIRONMENT,
    SAMPLING,
    Place,
    RunOption,
    key_option,
    option,
)
from rlm.run_options.spelling import assigned, spelled
from rlm_kernel.sizes import byte_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ADDRESS = re.compile(
    r"url|endpoint|api_base|host|proxy|location|region|fallbacks|model_list", re.IGNORECASE
)
"""Names of fields that decide where a key is sent, for fields that are not in the table."""

_KEYED: dict[str, Place] = {
    "backend_kwargs": BACKEND,
    "environment_kwargs": ENVIRONMENT,
    "sampling_args": SAMPLING,
    "sub_sampling_args": SAMPLING,
}
"""The arguments whose keys are rows of the table, and the place of those rows."""


def taken_keys(kwargs: Mapping[str, Any], place: Place, *, asks: bool = True) -> dict[str, Any]:
    """Return the log's keys that a new run takes; addresses only if it asks no model."""
    return {
        name: taken_keys(value, SAMPLING, asks=asks)
        if (place, name) == (BACKEND, "sampling_args")
        else value
        for name, value in kwargs.items()
        if is_taken(key_option(name, place), value)
        or (not asks and place != ENVIRONMENT and _is_address(name))
    }


def is_taken(row: RunOption, value: Any) -> bool:
    """Whether a new run takes an option's value from a log."""
    if row.from_log != "only lower":
        return row.from_log == "taken"
    if value is None or row.default is None:  # None is no limit.
        return value is not None
    try:
        return _amount(value) <= _amount(row.default)
    except ValueError:
        return False


def _amount(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else byte_count("the log's value", value)


def taken_arguments(recorded: Mapping[str, Any], *, asks: bool) -> dict[str, Any]:
    """Return the log's arguments without those that the user has to give again."""
    found = {name: value for name, value in recorded.items() if is_taken(option(name), value)}
    for name, place in _KEYED.items():
        if name in found:
            found[name] = taken_keys(found[name], place, asks=asks)
    if "other_backend_kwargs" in found:
        others = found["other_backend_kwargs"]
        found["other_backend_kwargs"] = [taken_keys(one, BACKEND, asks=asks) for one in others]
    return found


def left_out(
    recorded: Mapping[str, Any], changes: Mapping[str, Any], *, asks: bool, same_environment: bool
) -> Iterator[str]:
    """Yield the log's arguments and keys that the run does not take and the user does not give."""
    yield from (
        name
        for name, value in recorded.items()
        if not is_taken(option(name), value) and name not in changes
    )
    keyed = [(n, recorded[n], place) for n, place in _KEYED.items() if n in recorded]
    if "other_backend_kwargs" not in changes:
        others = recorded.get("other_backend_kwargs", ())
        keyed += [(f"other_backend_kwargs[{i}]", one, BACKEND) for i, one in enumerate(others)]
    for name, kwargs, place in keyed:
        if same_environment if place == ENVIRONMENT else asks:
            known = taken_keys(kwargs, place, asks=asks).keys() | (changes.get(name) or {}).keys()
            if lost := sorted(key for key in kwargs if key not in known and kwargs[key]):
                yield f"{name} {', '.join(lost)}"


def addresses(kwargs: Mapping[str, Any]) -> set[str]:
    """Return the names of a log's `backend_kwargs` that decide where a key is sent."""
    found = {name for name in kwargs if _is_address(name)}
    if any(_is_address(name) for name in kwargs.get("sampling_args") or ()):
        found.add("sampling_args")  # litellm takes addresses there too
    return found


def refuse_addresses(recorded: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Refuse to send a key to an address that only the log names."""
    named = [("backend_kwargs", recorded["backend_kwargs"], changes.get("backend_kwargs") or {})]
    if "other_backend_kwargs" not in changes:
        others = recorded.get("other_backend_kwargs", ())
        named += [(f"other_backend_kwargs[{i}]", kwargs, {}) for i, kwargs in enumerate(others)]
    for argument, kwargs, given in list(named):
        if "sampling_args" not in given:  # litellm takes addresses there too
            named.append((f"{argument}['sampling_args']", kwargs.get("sampling_args") or {}, {}))
    for argument in ("sampling_args", "sub_sampling_args"):
        if argument not in changes:
            named.append((argument, recorded.get(argument) or {}, {}))
    for argument, kwargs, given in named:
        for name, value in kwargs.items():
            if _is_address(name) and name not in given:
                raise ConfigurationError(
                    f"The log asks models at {name}={value!r}. Your key would be sent there; if "
                    f"that is right, say so: {_spelled(argument, name, value)}."
                )


def _spelled(argument: str, name: str, value: Any) -> str:
    """Return how the user gives an address; only the root's backend has a flag for it."""
    if argument == "backend_kwargs" and spelled(name, BACKEND).startswith("--"):
        return assigned(name, str(value), BACKEND)
    return f"{argument}={{{name!r}: {value!r}}}"


def _is_address(name: str) -> bool:
    return key_option(name, BACKEND).address or _ADDRESS.search(name) is not None
