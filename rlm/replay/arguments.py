"""From what a log says of a run's configuration back to the arguments of `RLM`.

A log may be anybody's. The table of run options says of each value whether it is taken, taken only
when it lowers a limit, or has to be given again.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

from rlm.core.environments import ENVIRONMENTS
from rlm.errors import ConfigurationError, ReplayWarning, RLMError
from rlm.run_options import (
    BACKEND,
    ENVIRONMENT,
    SAMPLING,
    Place,
    RunOption,
    key_option,
    logged_in,
    option,
)
from rlm.run_options.spelling import assigned, spelled
from rlm.trajectory import TrajectoryError
from rlm_kernel.sizes import byte_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rlm.trajectory import RunNode

_ADDRESS = re.compile(
    r"url|endpoint|api_base|host|proxy|location|region|fallbacks|model_list", re.IGNORECASE
)
"""Names that say where a key is sent, also of fields that the table does not know."""

_KEYED: dict[str, Place] = {
    "backend_kwargs": BACKEND,
    "environment_kwargs": ENVIRONMENT,
    "sampling_args": SAMPLING,
    "sub_sampling_args": SAMPLING,
}
"""The arguments whose keys are rows of the table."""

_MASKED = ("***",)


def recorded_arguments(root: RunNode, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `RLM` with which a run was made, as far as its log has them.

    Args:
        root: The log's root run.
        changes: What the user gives now; tools are looked up there.

    Raises:
        TrajectoryError: The log's configuration was damaged.
        ConfigurationError: The run had variables as tools, which no log holds.
    """
    try:
        return _recorded(root, changes)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, RLMError):
            raise
        raise TrajectoryError(
            f"The log's configuration of the run cannot be read: {error}. Was it changed by hand?"
        ) from error


def _recorded(root: RunNode, changes: Mapping[str, Any]) -> dict[str, Any]:
    config = root.started.config
    settings = _mapping(config.get("settings"))
    limits = _mapping(config.get("limits"))
    found: dict[str, Any] = {
        "backend": str(config.get("backend") or "openai"),
        "backend_kwargs": {
            **_backend_kwargs(config.get("backend_kwargs")),
            "model_name": root.started.model,
        },
        "environment": str(config.get("environment_type") or "local"),
        "environment_kwargs": _unmasked(config.get("environment_kwargs")),
        "depth": root.started.depth,
        **{name: config[name] for name in ("max_depth", "max_iterations") if config.get(name)},
        **{n: limits[n] for n in _names(logged_in("limits")) if limits.get(n) is not None},
        **{n: settings[n] for n in _names(logged_in("settings")) if n in settings},
        **{
            name: _unmasked(settings[name])
            for name in ("sampling_args", "sub_sampling_args")
            if name in settings
        },
    }
    if config.get("max_depth") == 0:
        found["max_depth"] = 0
    others = config.get("other_backends")
    if others:
        names = [*settings.get("models", ()), *("unknown" for _ in others)]
        kwargs = settings.get("other_backend_kwargs") or [{} for _ in others]
        found["other_backends"] = list(others)
        found["other_backend_kwargs"] = [
            {"model_name": name, **_backend_kwargs(options)}
            for name, options in zip(names, kwargs, strict=False)
        ]
    for name in ("custom_tools", "custom_sub_tools"):
        if name in settings:
            found[name] = _tools(settings[name], changes.get(name) or {}, name)
    return found


def with_changes(
    recorded: dict[str, Any], changes: Mapping[str, Any], model: str | None, *, asks: bool
) -> dict[str, Any]:
    """Return the arguments of a log's run with what the user changes.

    Of the keys of the same backend and of the same environment only those change that are given;
    another backend or environment takes none of the log's own.

    Args:
        recorded: What `recorded_arguments` returned.
        changes: What the user gives.
        model: The root model's name, when it is to be another.
        asks: Whether a model may be asked.

    Raises:
        ConfigurationError: A key would be sent to an address that only the log names.
    """
    recorded = _of_same_backends(recorded, changes)
    if asks:
        _refuse_addresses(recorded, changes)
    same_environment = (
        changes.get("environment", recorded["environment"]) == recorded["environment"]
    )
    left_out = list(_left_out(recorded, changes, asks=asks, same_environment=same_environment))
    if left_out:
        warnings.warn(
            f"Not taken from the log: {'; '.join(left_out)}. Give them again where the run needs "
            "them.",
            ReplayWarning,
            stacklevel=4,
        )
    recorded = _taken(recorded, asks=asks)
    merged = {**recorded, **changes}
    given = changes.get("backend_kwargs") or {}
    merged["backend_kwargs"] = {**recorded["backend_kwargs"], **given}
    if model is not None:
        merged["backend_kwargs"] = {**merged["backend_kwargs"], "model_name": model}
    kwargs = recorded["environment_kwargs"]
    if not same_environment:
        kwargs = {name: kwargs[name] for name in ENVIRONMENTS["local"] if name in kwargs}
    known = ENVIRONMENTS.get(merged["environment"], ())
    kwargs = {name: value for name, value in kwargs.items() if name in known}
    merged["environment_kwargs"] = {**kwargs, **(changes.get("environment_kwargs") or {})}
    for name in ("custom_tools", "custom_sub_tools"):
        if recorded.get(name) is not None and changes.get(name) is not None:
            merged[name] = {**recorded[name], **changes[name]}
    return merged


def taken_keys(kwargs: Mapping[str, Any], place: Place, *, asks: bool = True) -> dict[str, Any]:
    """Return the keys of a log that a new run takes; addresses only where no model is asked."""
    return {
        name: taken_keys(value, SAMPLING, asks=asks) if name == "sampling_args" else value
        for name, value in kwargs.items()
        if is_taken(key_option(name, place), value)
        or (not asks and place != ENVIRONMENT and _is_address(name))
    }


def is_taken(row: RunOption, value: Any) -> bool:
    """Whether a new run takes a log's value of an option."""
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


def _taken(recorded: Mapping[str, Any], *, asks: bool) -> dict[str, Any]:
    """Return the log's arguments without what the table says has to be given again."""
    found = {name: value for name, value in recorded.items() if is_taken(option(name), value)}
    for name, place in _KEYED.items():
        if name in found:
            found[name] = taken_keys(found[name], place, asks=asks)
    if "other_backend_kwargs" in found:
        others = found["other_backend_kwargs"]
        found["other_backend_kwargs"] = [taken_keys(one, BACKEND, asks=asks) for one in others]
    return found


def _left_out(
    recorded: Mapping[str, Any], changes: Mapping[str, Any], *, asks: bool, same_environment: bool
) -> Iterator[str]:
    """Yield what the log says, the new run does not take, and the user does not give."""
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
    """Return which of a backend's keywords say where a key is sent.

    Args:
        kwargs: What a log says that its client took.
    """
    found = {name for name in kwargs if _is_address(name)}
    if any(_is_address(name) for name in kwargs.get("sampling_args") or ()):
        found.add("sampling_args")  # litellm takes addresses there as well
    return found


def _of_same_backends(recorded: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the log's arguments without the keywords of backends that are to be others now."""
    kept = dict(recorded)
    if changes.get("backend", recorded["backend"]) != recorded["backend"]:
        name = recorded["backend_kwargs"].get("model_name")
        kept["backend_kwargs"] = {"model_name": name}
    if changes.get("other_backends", recorded.get("other_backends")) != recorded.get(
        "other_backends"
    ):
        kept.pop("other_backend_kwargs", None)
    return kept


def _refuse_addresses(recorded: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Refuse to send a key to where only the log says that it goes.

    Raises:
        ConfigurationError: The log names an address, and the user does not.
    """
    named = [("backend_kwargs", recorded["backend_kwargs"], changes.get("backend_kwargs") or {})]
    if "other_backend_kwargs" not in changes:
        others = recorded.get("other_backend_kwargs", ())
        named += [(f"other_backend_kwargs[{i}]", kwargs, {}) for i, kwargs in enumerate(others)]
    for argument, kwargs, given in list(named):
        if "sampling_args" not in given:  # litellm takes addresses there as well
            named.append((f"{argument}['sampling_args']", kwargs.get("sampling_args") or {}, {}))
    for argument in ("sampling_args", "sub_sampling_args"):
        if argument not in changes:
            named.append((argument, recorded.get(argument) or {}, {}))
    for argument, kwargs, given in named:
        for name, value in kwargs.items():
            if _is_address(name) and name not in given:
                raise ConfigurationError(
                    f"The log says that models are asked at {name}={value!r}. Your key would be "
                    f"sent there; if that is right, say so: {_said(argument, name, value)}."
                )


def _said(argument: str, name: str, value: Any) -> str:
    """Return how the user gives an address; backends beside the root's have no flag."""
    if argument == "backend_kwargs" and spelled(name, BACKEND).startswith("--"):
        return assigned(name, str(value), BACKEND)
    return f"{argument}={{{name!r}: {value!r}}}"


def _is_address(name: str) -> bool:
    return key_option(name, BACKEND).address or _ADDRESS.search(name) is not None


def _names(rows: tuple[RunOption, ...]) -> Iterator[str]:
    return (row.name for row in rows)


def _tools(recorded: Any, given: Mapping[str, Any], argument: str) -> dict[str, Any]:
    """Return a run's tools; a function that is not given is there, and can only be replayed."""
    tools: dict[str, Any] = {}
    missing = []
    for entry in recorded if isinstance(recorded, list) else ():
        name, description = str(entry.get("name")), str(entry.get("description"))
        if name in given:
            tool = given[name]
            tool = tool["tool"] if isinstance(tool, dict) and "tool" in tool else tool
        elif entry.get("function"):
            tool = _not_given(name, argument)
        else:
            missing.append(name)
            continue
        tools[name] = {"tool": tool, "description": description}
    if missing:
        raise ConfigurationError(
            f"The run had variables as tools, which no log holds: {', '.join(missing)}. "
            f"Give them: {argument}={{{missing[0]!r}: ...}}."
        )
    return tools


def _not_given(name: str, argument: str) -> Any:
    def tool(*_: Any, **__: Any) -> Any:
        raise RuntimeError(
            f"the log has no such call of {name}, and the function itself was not given: "
            f"{argument}={{{name!r}: ...}}"
        )

    tool.__name__ = name
    return tool


def _backend_kwargs(value: Any) -> dict[str, Any]:
    kwargs = _unmasked(value)
    if "sampling_args" in kwargs:
        kwargs["sampling_args"] = _unmasked(kwargs["sampling_args"])
    return kwargs


def _unmasked(kwargs: Any) -> dict[str, Any]:
    """Return keywords without what the log hides or could not hold."""
    return {name: value for name, value in _mapping(kwargs).items() if not _is_masked(value)}


def _is_masked(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_masked, value.values()))
    if isinstance(value, str):
        return value in _MASKED or (value.startswith("<") and value.endswith(">"))
    return False


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
