"""Makes the checked configuration of a run out of the arguments of `RLM`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rlm import backends
from rlm.backends.base import ModelSpec
from rlm.core.config import RunConfig
from rlm.core.environments import check_environment
from rlm.core.replay_port import ReplaySource
from rlm.core.tools import parse_tools
from rlm.errors import ArgumentError, ConfigurationError
from rlm.run_options import ENVIRONMENT
from rlm.run_options.check import check_count
from rlm.run_options.spelling import assigned, spelled
from rlm_kernel.sizes import byte_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_UNITS = "USD per 1M input tokens, USD per 1M output tokens"


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
    replay: ReplaySource | None,
    **rest: Any,
) -> RunConfig:
    """Make the configuration of `RLM`'s arguments, which `check_arguments` has checked.

    A run that never asks a model (`replay`) needs no key. The configuration holds `rest` as it is.

    Raises:
        ConfigurationError: A value is not allowed; the message says which are.
        ArgumentError: A keyword or a type is wrong.
    """
    if replay is not None and not isinstance(replay, ReplaySource):
        raise ArgumentError("replay is an argument of RLM.from_notebook(path, replay=True).")
    checked = replay is None or replay.may_ask
    root = _model(backend, backend_kwargs, sampling_args, "backend_kwargs", checked=checked)
    others = _others(other_backends, other_backend_kwargs, sub_sampling_args, checked=checked)
    # Sub-calls to the root's model need a second client when they have other sampling arguments.
    mirror = root
    if sub_sampling_args is not None:
        mirror = _model(
            backend, backend_kwargs, sub_sampling_args, "backend_kwargs", checked=checked
        )
    kwargs = check_environment(environment, environment_kwargs)
    tools = parse_tools(custom_tools or {}, "custom_tools")
    sub_tools = tools
    if custom_sub_tools is not None:
        sub_tools = parse_tools(custom_sub_tools, "custom_sub_tools")
    config = RunConfig(
        root=root,
        subs=(*others, mirror),
        other_backends=None if other_backends is None else tuple(other_backends),
        environment=environment,
        environment_kwargs=kwargs,
        memory_limit=_bytes(kwargs.get("memory_limit")),
        custom_tools=tools,
        custom_sub_tools=sub_tools,
        prices=_prices(prices),
        context_window=_windows(context_window),
        replay=replay,
        **rest,
    )
    _check_python_fences(config.python_fences)
    _check_budget(config)
    return config


def _check_python_fences(value: object) -> None:
    if value is not True and value is not False and value != "auto":
        raise ArgumentError(f"python_fences must be True, False or 'auto', not {value!r}.")


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
        return None if limit is None else byte_count(spelled("memory_limit", ENVIRONMENT), limit)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _prices(prices: Mapping[str, Iterable[float]] | None) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for model, pair in (prices or {}).items():
        try:
            into, out = (float(price) for price in pair)
        except (TypeError, ValueError):
            into = out = math.nan
        if not (into >= 0 and out >= 0 and math.isfinite(into + out)):
            raise ConfigurationError(
                f"{spelled('prices')}[{model!r}] must be ({_UNITS}), not {pair!r}."
            )
        found[model] = (into, out)
    return found


def _windows(windows: Mapping[str, int] | None) -> dict[str, int]:
    for model, tokens in (windows or {}).items():
        check_count(f"{spelled('context_window')}[{model!r}]", tokens)
    return dict(windows or {})


def _check_budget(config: RunConfig) -> None:
    """Refuse a budget when the cost of a model cannot be known."""
    if config.max_budget is None or (config.replay is not None and not config.replay.may_ask):
        return
    for spec in config.models:
        if spec.name not in config.prices and not backends.reports_cost(spec.backend):
            raise ConfigurationError(
                f"{assigned('max_budget', repr(config.max_budget))} cannot be kept: the backend "
                f"{spec.backend!r} does not report what {spec.name!r} costs. Give its price: "
                f"{_price_of(spec.name)}."
            )


def _price_of(model: str) -> str:
    """Return how the user gives a model's price, with its unit."""
    if spelled("prices").startswith("--"):
        return assigned("prices", f"'{{\"{model}\": [{_UNITS}]}}'")
    return assigned("prices", f"{{{model!r}: ({_UNITS})}}")
