"""A run's configuration, and the form without secrets that logs hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlm import backends
from rlm.backends.base import ModelSpec
from rlm.core.tools import Tool
from rlm.run_options import logged_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlm.core.replay_port import ReplaySource
    from rlm.reply_parser import PythonFences


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that shapes a run; see `RLM` for what each field means.

    The fields are the arguments of `RLM`, with two exceptions: `root` and `subs` are the models
    made from `backend`, `other_backends` and the sampling arguments (a sub-call that names no model
    goes to the first of `subs`), and `memory_limit` is in bytes. Fields that may hold a secret are
    not in the `repr`.
    """

    root: ModelSpec
    subs: tuple[ModelSpec, ...]
    other_backends: tuple[str, ...] | None
    environment: str
    environment_kwargs: dict[str, Any] = field(repr=False)
    memory_limit: int | None
    depth: int
    max_depth: int
    max_iterations: int
    max_budget: float | None
    max_timeout: float | None
    max_tokens: int | None
    max_errors: int | None
    custom_system_prompt: str | None
    persistent: bool
    custom_tools: tuple[Tool, ...] = field(repr=False)
    custom_sub_tools: tuple[Tool, ...] = field(repr=False)
    compaction: bool
    compaction_threshold_pct: float
    max_concurrent_subcalls: int
    max_concurrent_queries: int
    orchestrator: bool
    user_prologue: str | None
    prices: dict[str, tuple[float, float]]
    context_window: dict[str, int]
    cell_timeout: float | None
    max_restarts: int
    approve: Callable[[str, int], Any] | None
    head_only: bool
    show_images: bool
    python_fences: PythonFences
    replay: ReplaySource | None = field(repr=False)

    @property
    def models(self) -> tuple[ModelSpec, ...]:
        """Every model that may be asked, the root's first."""
        return (self.root, *self.subs)

    def public(self) -> dict[str, Any]:
        """Return the configuration as logs hold it: JSON values without secrets."""
        return {
            "backend": self.root.backend,
            "backend_kwargs": backends.public_kwargs(self.root.backend_kwargs),
            "environment_type": self.environment,
            "environment_kwargs": backends.public_kwargs(self.environment_kwargs),
            **{row.name: _json(getattr(self, row.name)) for row in logged_in("config")},
            "limits": {row.name: getattr(self, row.name) for row in logged_in("limits")},
            "settings": self._settings(),
        }

    def _settings(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults, and some more.

        `models` are the names of the models for sub-calls, the default first. Of custom tools there
        are the names, the descriptions and whether they are functions. A run that goes on from a
        log has `forked_from`: that log's `run`, the `turn`, and the log's default `model`.
        """
        found: dict[str, Any] = {"models": [spec.name for spec in self.subs]}
        for row in logged_in("settings"):
            value = getattr(self, row.name)
            # A log without `python_fences` is older than the default "auto": it stood for False.
            if row.name == "python_fences" or value not in (row.default, {}):
                found[row.name] = _json(value)
        *others, mirror = self.subs
        if self.root.sampling_args:
            found["sampling_args"] = backends.public_kwargs(self.root.sampling_args)
        if mirror is not self.root:
            found["sub_sampling_args"] = backends.public_kwargs(mirror.sampling_args)
        if others:
            found["other_backend_kwargs"] = [
                backends.public_kwargs(spec.backend_kwargs) for spec in others
            ]
        if self.custom_tools:
            found["custom_tools"] = _tools(self.custom_tools)
        if self.custom_sub_tools is not self.custom_tools:
            found["custom_sub_tools"] = _tools(self.custom_sub_tools)
        if self.replay is not None and self.replay.forked_from is not None:
            found["forked_from"] = self.replay.forked_from
        return found

    def secrets(self) -> Iterator[str]:
        """Yield the secrets that no log may hold, in whatever text they turn up."""
        yield from backends.long_secrets(self.environment_kwargs)
        for spec in self.models:
            yield from backends.long_secrets([spec.backend_kwargs, spec.sampling_args])


def _tools(tools: tuple[Tool, ...]) -> list[dict[str, Any]]:
    return [
        {"name": tool.name, "description": tool.description, "function": tool.is_callable}
        for tool in tools
    ]


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
