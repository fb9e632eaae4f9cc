"""From what a log says of a run's configuration back to the arguments of `RLM`."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

from rlm.core.config_log import PLAIN
from rlm.core.environments import ENVIRONMENTS
from rlm.errors import ConfigurationError, ReplayWarning, RLMError
from rlm.trajectory import TrajectoryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rlm.trajectory import RunNode

_EVERYWHERE = ("setup_code", "memory_limit", "output_limit")
"""Keywords that every environment takes; the others go when a run moves to another one."""

_FROM_A_LOG = frozenset(
    {
        *_EVERYWHERE,
        *("image", "packages", "mem_limit", "shm_size", "cpus", "pids_limit", "workdir"),
        *("app_name", "cpu", "memory", "gpu", "region", "timeout", "idle_timeout"),
    }
)
"""Keywords of environments that are taken from a log. A log may be anybody's: what opens a sandbox
(volumes, networks, secrets, users) has to be given again."""

_LIMITS = ("max_budget", "max_timeout", "max_tokens", "max_errors")

_ADDRESS = re.compile(
    r"url|endpoint|api_base|host|proxy|location|region|fallbacks|model_list", re.IGNORECASE
)
"""Keywords of backends that say where a key is sent: never taken from a log unseen."""

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
        **{name: limits[name] for name in _LIMITS if limits.get(name) is not None},
        "python_fences": False,  # What logs meant that do not say.
        **{name: settings[name] for name in PLAIN if name in settings},
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

    Of the keywords of the same backend and of the same environment only those that are given
    change; another backend or environment begins with none of the log's own.

    Args:
        recorded: What `recorded_arguments` returned.
        changes: What the user gives.
        model: The root model's name, when it is to be another.
        asks: Whether a model may be asked.

    Raises:
        ConfigurationError: A key would be sent to an address that only the log names.
    """
    recorded = _of_same_backends(recorded, changes)
    merged = {**recorded, **changes}
    if asks:
        _refuse_addresses(recorded, changes)
    given = changes.get("backend_kwargs") or {}
    merged["backend_kwargs"] = {**recorded["backend_kwargs"], **given}
    if model is not None:
        merged["backend_kwargs"] = {**(merged.get("backend_kwargs") or {}), "model_name": model}
    kwargs = dict(recorded["environment_kwargs"])
    given = changes.get("environment_kwargs") or {}
    left_out = sorted(kwargs.keys() - _FROM_A_LOG - given.keys())
    if left_out and merged["environment"] == recorded["environment"]:
        warnings.warn(
            f"Not taken from the log: environment_kwargs {', '.join(left_out)}. Give them again "
            "where the run needs them.",
            ReplayWarning,
            stacklevel=4,
        )
    kwargs = {name: value for name, value in kwargs.items() if name in _FROM_A_LOG}
    if merged["environment"] != recorded["environment"]:
        kwargs = {name: kwargs[name] for name in _EVERYWHERE if name in kwargs}
    known = ENVIRONMENTS.get(merged["environment"], ())
    kwargs = {name: value for name, value in kwargs.items() if name in known}
    merged["environment_kwargs"] = {**kwargs, **given}
    for name in ("custom_tools", "custom_sub_tools"):
        if recorded.get(name) is not None and changes.get(name) is not None:
            merged[name] = {**recorded[name], **changes[name]}
    return merged


def addresses(kwargs: Mapping[str, Any]) -> set[str]:
    """Return which of a backend's keywords say where a key is sent.

    Args:
        kwargs: What a log says that its client took.
    """
    found = set(filter(_ADDRESS.search, kwargs))
    if any(map(_ADDRESS.search, kwargs.get("sampling_args") or ())):
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
            if _ADDRESS.search(name) and name not in given:
                raise ConfigurationError(
                    f"The log says that models are asked at {name}={value!r}. Your key would be "
                    f"sent there; if that is right, say so: {argument}={{{name!r}: {value!r}}} "
                    "(--base-url on the command line)."
                )


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
