"""What a log says of a run's settings, so that the run can be played again: without secrets."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from rlm import backends

if TYPE_CHECKING:
    from rlm.core.config import RunConfig
    from rlm.core.tools import Tool

PLAIN = (
    "persistent",
    "compaction",
    "compaction_threshold_pct",
    "max_concurrent_subcalls",
    "max_concurrent_queries",
    "orchestrator",
    "user_prologue",
    "prices",
    "context_window",
    "cell_timeout",
    "max_restarts",
    "head_only",
    "show_images",
    "python_fences",
)
"""Arguments that are logged as they are when they are not the default."""


def settings_to_log(config: RunConfig) -> dict[str, Any]:
    """Return the settings that are not the defaults, as JSON values by the arguments' names.

    Beside them `models`: the names of those that sub-calls go to, the default first; of the custom
    tools their names, descriptions and whether they are functions; and of a run that goes on from
    a log `forked_from`: that `run`, the `turn`, and the run's default `model`.

    Args:
        config: The run's configuration.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    found: dict[str, Any] = {"models": [spec.name for spec in config.subs]}
    for name in PLAIN:
        value = getattr(config, name)
        # A log without `python_fences` is older than the default `auto`: it stood for False.
        if name == "python_fences" or (value != defaults[name] and value != {}):
            found[name] = _json(value)
    *others, mirror = config.subs
    if config.root.sampling_args:
        found["sampling_args"] = backends.public_kwargs(config.root.sampling_args)
    if mirror is not config.root:
        found["sub_sampling_args"] = backends.public_kwargs(mirror.sampling_args)
    if others:
        found["other_backend_kwargs"] = [
            backends.public_kwargs(spec.backend_kwargs) for spec in others
        ]
    if config.custom_tools:
        found["custom_tools"] = _tools(config.custom_tools)
    if config.custom_sub_tools is not config.custom_tools:
        found["custom_sub_tools"] = _tools(config.custom_sub_tools)
    if config.replay is not None and config.replay.live_from is not None:
        found["forked_from"] = config.replay.origin
    return found


def _tools(tools: tuple[Tool, ...]) -> list[dict[str, Any]]:
    return [
        {"name": tool.name, "description": tool.description, "function": tool.is_callable}
        for tool in tools
    ]


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
