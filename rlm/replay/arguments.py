"""Turns a recorded run's configuration back into arguments of `RLM`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from rlm.core.environments import ENVIRONMENTS
from rlm.errors import ConfigurationError, ReplayWarning, RLMError
from rlm.replay.from_log import left_out, refuse_addresses, taken_arguments
from rlm.run_options import logged_in
from rlm.trajectory import TrajectoryError
from rlm.trajectory.models_asked import settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rlm.trajectory import RunNode

_MASKED = "***"


def recorded_arguments(root: RunNode, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded run's arguments, as far as its log has them; tools come from `changes`."""
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
    settings = settings_of(root)
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
        **{
            row.name: limits[row.name]
            for row in logged_in("limits")
            if limits.get(row.name) is not None
        },
        "python_fences": False,  # Older logs, which do not say it, meant this.
        **{row.name: settings[row.name] for row in logged_in("settings") if row.name in settings},
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
    """Return a log's arguments with the user's changes, and warn about what the log may not decide.

    If backend and environment stay the same, the user's keys replace the log's one by one. Another
    backend or environment takes none of the log's keys. `asks` says whether a model may be asked.
    """
    recorded = _of_same_backends(recorded, changes)
    if asks:
        refuse_addresses(recorded, changes)
    same_environment = (
        changes.get("environment", recorded["environment"]) == recorded["environment"]
    )
    lost = list(left_out(recorded, changes, asks=asks, same_environment=same_environment))
    if lost:
        warnings.warn(
            f"Not taken from the log: {'; '.join(lost)}. Give them again where the run needs them.",
            ReplayWarning,
            stacklevel=4,
        )
    recorded = taken_arguments(recorded, asks=asks)
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


def _of_same_backends(recorded: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the log's arguments without the keywords of backends that the user replaces."""
    kept = dict(recorded)
    if changes.get("backend", recorded["backend"]) != recorded["backend"]:
        name = recorded["backend_kwargs"].get("model_name")
        kept["backend_kwargs"] = {"model_name": name}
    if changes.get("other_backends", recorded.get("other_backends")) != recorded.get(
        "other_backends"
    ):
        kept.pop("other_backend_kwargs", None)
    return kept


def _tools(recorded: Any, given: Mapping[str, Any], argument: str) -> dict[str, Any]:
    """Return a run's tools; a function that the user does not give can only be replayed."""
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
            f"The run had variables as tools, and a log does not hold those: {', '.join(missing)}. "
            f"Give them: {argument}={{{missing[0]!r}: ...}}."
        )
    return tools


def _not_given(name: str, argument: str) -> Any:
    def tool(*_: Any, **__: Any) -> Any:
        raise RuntimeError(
            f"the log has no such call of {name}, and you did not give the function itself: "
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
    """Return keywords without those that the log masks or could not hold."""
    return {name: value for name, value in _mapping(kwargs).items() if not _is_masked(value)}


def _is_masked(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_masked, value.values()))
    if isinstance(value, str):
        return value == _MASKED or (value.startswith("<") and value.endswith(">"))
    return False


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
