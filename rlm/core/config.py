"""A run's configuration: the constructor's arguments, checked once and frozen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlm import backends
from rlm.core.config_log import settings_to_log
from rlm.core.environments import check_environment
from rlm.core.tools import Tool, parse_tools
from rlm.errors import ArgumentError, ConfigurationError
from rlm.replay.plan import ReplayPlan
from rlm_kernel.sizes import byte_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rlm.reply_parser import PythonFences


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelSpec:
    """A model that a run may ask, and through which client.

    Attributes:
        name: The model's name, by which code asks for it.
        backend: The backend's name.
        backend_kwargs: What its client takes.
        sampling_args: What each request carries, such as a temperature.
    """

    name: str
    backend: str
    backend_kwargs: dict[str, Any] = field(repr=False)
    sampling_args: dict[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Everything that shapes a run; see `RLM` for what each field means.

    Attributes are the constructor's arguments, except: `root` and `subs` are the models made of
    `backend`, `other_backends` and the sampling arguments (a sub-call that names no model goes to
    the first of `subs`), and `memory_limit` is in bytes. What may hold a secret is not in its
    `repr`.
    """

    root: ModelSpec
    subs: tuple[ModelSpec, ...]
    other_backends: tuple[str, ...] | None = None
    environment: str = "local"
    environment_kwargs: dict[str, Any] = field(default_factory=dict, repr=False)
    memory_limit: int | None = None
    depth: int = 0
    max_depth: int = 1
    max_iterations: int = 30
    max_budget: float | None = None
    max_timeout: float | None = None
    max_tokens: int | None = None
    max_errors: int | None = None
    custom_system_prompt: str | None = None
    persistent: bool = False
    custom_tools: tuple[Tool, ...] = field(default=(), repr=False)
    custom_sub_tools: tuple[Tool, ...] = field(default=(), repr=False)
    compaction: bool = False
    compaction_threshold_pct: float = 0.85
    max_concurrent_subcalls: int = 16
    max_concurrent_queries: int = 64
    orchestrator: bool = True
    user_prologue: str | None = None
    prices: dict[str, tuple[float, float]] = field(default_factory=dict)
    context_window: dict[str, int] = field(default_factory=dict)
    cell_timeout: float | None = 600.0
    max_restarts: int = 3
    approve: Callable[[str, int], Any] | None = None
    head_only: bool = False
    show_images: bool = False
    python_fences: PythonFences = "auto"
    replay: ReplayPlan | None = field(default=None, repr=False)

    @property
    def models(self) -> tuple[ModelSpec, ...]:
        """Every model that may be asked, the root's first."""
        return (self.root, *self.subs)

    def public(self) -> dict[str, Any]:
        """Return what logs say of the configuration, without secrets and as JSON values."""
        limits = {
            name: getattr(self, name)
            for name in ("max_budget", "max_timeout", "max_tokens", "max_errors")
        }
        return {
            "backend": self.root.backend,
            "backend_kwargs": backends.public_kwargs(self.root.backend_kwargs),
            "environment_type": self.environment,
            "environment_kwargs": backends.public_kwargs(self.environment_kwargs),
            "other_backends": None if self.other_backends is None else list(self.other_backends),
            "max_depth": self.max_depth,
            "max_iterations": self.max_iterations,
            "limits": limits,
            "settings": settings_to_log(self),
        }

    def secrets(self) -> Iterator[str]:
        """Yield what no log may hold, wherever it turns up."""
        yield from backends.long_secrets(self.environment_kwargs)
        for spec in self.models:
            yield from backends.long_secrets([spec.backend_kwargs, spec.sampling_args])


def run_config(
    *,
    backend: str,
    backend_kwargs: dict[str, Any] | None,
    other_backends: list[str] | None,
    other_backend_kwargs: list[dict[str, Any]] | None,
    sampling_args: dict[str, Any] | None,
    sub_sampling_args: dict[str, Any] | None,
    environment: str,
    environment_kwargs: dict[str, Any] | None,
    custom_tools: dict[str, Any] | None,
    custom_sub_tools: dict[str, Any] | None,
    prices: Mapping[str, Iterable[float]] | None,
    context_window: Mapping[str, int] | None,
    replay: ReplayPlan | None,
    **rest: Any,
) -> RunConfig:
    """Check the constructor's arguments and make the configuration of them.

    Args:
        backend: The root model's provider.
        backend_kwargs: What its client takes, `model_name` among them.
        other_backends: Further providers for sub-calls.
        other_backend_kwargs: What their clients take, in the same order.
        sampling_args: Fields of every request to the root model.
        sub_sampling_args: Fields of every request of a sub-call.
        environment: Where the kernels live.
        environment_kwargs: What that environment takes.
        custom_tools: The tools of the root run, by name.
        custom_sub_tools: The tools of children; None: the same.
        prices: Model to USD per 1M input tokens and per 1M output tokens.
        context_window: Model to tokens.
        replay: The log that answers; one that never asks a model needs no key.
        rest: Fields of `RunConfig` that are taken as they are.

    Raises:
        ConfigurationError: A value is not allowed; the message says which are.
        ArgumentError: A keyword or a type is wrong.
    """
    if replay is not None and not isinstance(replay, ReplayPlan):
        raise ArgumentError("replay is an argument of RLM.from_notebook(path, replay=True).")
    checked = replay is None or replay.may_ask
    root = _model(backend, backend_kwargs, sampling_args, "backend_kwargs", checked=checked)
    others = _others(other_backends, other_backend_kwargs, sub_sampling_args, checked=checked)
    # Sub-calls to the root's own model need a client of their own when they are sampled otherwise.
    mirror = root
    if sub_sampling_args is not None:
        mirror = _model(
            backend, backend_kwargs, sub_sampling_args, "backend_kwargs", checked=checked
        )
    kwargs = check_environment(environment, environment_kwargs)
    tools = parse_tools(custom_tools, "custom_tools")
    config = RunConfig(
        root=root,
        subs=(*others, mirror),
        other_backends=None if other_backends is None else tuple(other_backends),
        environment=environment,
        environment_kwargs=kwargs,
        memory_limit=_bytes(kwargs.get("memory_limit")),
        custom_tools=tools,
        custom_sub_tools=tools
        if custom_sub_tools is None
        else parse_tools(custom_sub_tools, "custom_sub_tools"),
        prices=_prices(prices),
        context_window=_windows(context_window),
        replay=replay,
        **rest,
    )
    _check_numbers(config)
    _check_types(config)
    _check_python_fences(config.python_fences)
    _check_budget(config)
    return config


def _model(
    backend: str,
    kwargs: dict[str, Any] | None,
    sampling: dict[str, Any] | None,
    argument: str,
    *,
    checked: bool = True,
) -> ModelSpec:
    if kwargs is not None and not isinstance(kwargs, dict):
        raise ArgumentError(f"{argument} must be a dict, not {type(kwargs).__name__}.")
    kwargs = dict(kwargs or {})
    if checked:
        backends.validate(backend, kwargs)
    merged = {**(kwargs.pop("sampling_args", None) or {}), **(sampling or {})}
    name = kwargs.get("model_name")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(
            f"{argument} of the backend {backend!r} must name a model, for example "
            '{"model_name": "gpt-5-mini"}' + ("." if name is None else f", not {name!r}.")
        )
    return ModelSpec(
        name=name, backend=backend, backend_kwargs=kwargs, sampling_args=merged or None
    )


def _others(
    names: list[str] | None,
    kwargs: list[dict[str, Any]] | None,
    sampling: dict[str, Any] | None,
    *,
    checked: bool,
) -> tuple[ModelSpec, ...]:
    for argument, value in (("other_backends", names), ("other_backend_kwargs", kwargs)):
        if value is not None and not isinstance(value, list | tuple):
            raise ArgumentError(f"{argument} must be a list, not {type(value).__name__}.")
    names, kwargs = list(names or ()), list(kwargs or ())
    if len(names) != len(kwargs):
        raise ConfigurationError(
            f"other_backends has {len(names)} entries and other_backend_kwargs has {len(kwargs)}: "
            "each backend needs its own dict, in the same order."
        )
    return tuple(
        _model(name, options, sampling, f"other_backend_kwargs[{index}]", checked=checked)
        for index, (name, options) in enumerate(zip(names, kwargs, strict=True))
    )


def _bytes(limit: Any) -> int | None:
    try:
        return None if limit is None else byte_count("memory_limit", limit)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _prices(prices: Mapping[str, Iterable[float]] | None) -> dict[str, tuple[float, float]]:
    if prices is not None and not isinstance(prices, dict):
        raise ArgumentError(f"prices must be a dict, not {type(prices).__name__}.")
    found: dict[str, tuple[float, float]] = {}
    for model, pair in (prices or {}).items():
        try:
            into, out = (float(price) for price in pair)
        except (TypeError, ValueError):
            into = out = math.nan
        if not (into >= 0 and out >= 0 and math.isfinite(into + out)):
            raise ConfigurationError(
                f"prices[{model!r}] must be (USD per 1M input tokens, USD per 1M output tokens), "
                f"not {pair!r}."
            )
        found[model] = (into, out)
    return found


def _windows(windows: Mapping[str, int] | None) -> dict[str, int]:
    if windows is not None and not isinstance(windows, dict):
        raise ArgumentError(
            f"context_window must be a dict of model to tokens, not {type(windows).__name__}."
        )
    for model, tokens in (windows or {}).items():
        _require(f"context_window[{model!r}]", tokens, int, minimum=1)
    return dict(windows or {})


def _require(name: str, value: Any, kind: type[int | float], *, minimum: float) -> None:
    """Check an optional number; NaN is never one."""
    if value is None:
        return
    allowed = int if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        noun = "a whole number" if kind is int else "a number"
        raise ArgumentError(f"{name} must be {noun}, not {value!r}.")
    if not value >= minimum or value == math.inf:
        raise ConfigurationError(f"{name} must be at least {minimum:g}, not {value!r}.")


def _check_numbers(config: RunConfig) -> None:
    for name, minimum in (
        ("depth", 0),
        ("max_depth", 0),
        ("max_iterations", 1),
        ("max_concurrent_subcalls", 1),
        ("max_concurrent_queries", 1),
        ("max_restarts", 0),
    ):
        if getattr(config, name) is None:
            raise ArgumentError(f"{name} must be a whole number, not None.")
        _require(name, getattr(config, name), int, minimum=minimum)
    _require("max_tokens", config.max_tokens, int, minimum=1)
    _require("max_errors", config.max_errors, int, minimum=1)
    _require("max_budget", config.max_budget, float, minimum=0)
    for name in ("max_timeout", "cell_timeout"):
        value = getattr(config, name)
        _require(name, value, float, minimum=0)
        if value == 0:
            raise ConfigurationError(f"{name} must be more than 0 seconds.")
    part = config.compaction_threshold_pct
    if isinstance(part, bool) or not isinstance(part, int | float) or not 0 < part <= 1:
        raise ConfigurationError(
            f"compaction_threshold_pct must be more than 0 and at most 1, not {part!r}."
        )


def _check_types(config: RunConfig) -> None:
    for name in ("custom_system_prompt", "user_prologue"):
        value = getattr(config, name)
        if value is not None and not isinstance(value, str):
            raise ArgumentError(f"{name} must be a str, not {type(value).__name__}.")
    if config.approve is not None and not callable(config.approve):
        raise ArgumentError(f"approve must be callable, not {type(config.approve).__name__}.")


def _check_python_fences(value: object) -> None:
    if value is not True and value is not False and value != "auto":
        raise ArgumentError(f"python_fences must be True, False or 'auto', not {value!r}.")


def _check_budget(config: RunConfig) -> None:
    """Refuse a budget that nobody could watch."""
    if config.max_budget is None or (config.replay is not None and not config.replay.may_ask):
        return
    for spec in config.models:
        if spec.name not in config.prices and not backends.reports_cost(spec.backend):
            raise ConfigurationError(
                f"max_budget={config.max_budget} cannot be kept: the backend {spec.backend!r} does "
                f"not report what {spec.name!r} costs. Give its price: prices={{{spec.name!r}: "
                "(USD per 1M input tokens, USD per 1M output tokens)}."
            )
