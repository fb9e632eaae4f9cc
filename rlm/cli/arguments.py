"""Turns the command's flags into arguments of `RLM`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.cli.output_files import check_suffix
from rlm.core.environments import ENVIRONMENTS
from rlm.errors import ConfigurationError
from rlm.run_options.flags import given

if TYPE_CHECKING:
    import argparse

_PAIR = 2


def rlm_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return `RLM`'s keyword arguments for `rlm run`."""
    if not options.model:
        raise ConfigurationError(
            "No model is named. Give --model NAME, or set RLM_MODEL (`rlm demo` needs neither)."
        )
    check_suffix(options.save)
    backend_kwargs = {"model_name": options.model}
    if options.base_url:
        backend_kwargs["base_url"] = options.base_url
    chosen = {
        **given(options, "run"),
        "backend_kwargs": backend_kwargs,
        "environment_kwargs": _environment_kwargs(options),
        "prices": _prices(options),
    }
    if options.sub_model:
        chosen["other_backends"] = [options.backend]
        chosen["other_backend_kwargs"] = [backend_kwargs | {"model_name": options.sub_model}]
    return chosen


def changed_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `RLM` that `rlm replay` sets differently from the recorded ones."""
    changes = given(options, "replay")
    if options.base_url:
        changes["backend_kwargs"] = {"base_url": options.base_url}
    return {name: value for name, value in changes.items() if value is not None}


def _environment_kwargs(options: argparse.Namespace) -> dict[str, Any]:
    """Return `RLM`'s `environment_kwargs`; an error names the flag that does not fit."""
    kwargs: dict[str, Any] = {}
    if options.environment_kwargs is not None:
        kwargs = _read_json("--environment-kwargs", options.environment_kwargs)
        if not isinstance(kwargs, dict):
            raise ConfigurationError(
                '--environment-kwargs must be a JSON object such as {"mem_limit": "8g"}.'
            )
    for flag, name, value in (
        ("--image", "image", options.image),
        ("--package", "packages", options.package),
    ):
        if value is None:
            continue
        if name not in ENVIRONMENTS.get(options.environment, (name,)):
            takes = [f"--environment {one}" for one in ENVIRONMENTS if name in ENVIRONMENTS[one]]
            raise ConfigurationError(
                f"{flag} is for {' and '.join(takes)}: the environment {options.environment!r} "
                "has no image; it uses what is installed here."
            )
        if name in kwargs:
            raise ConfigurationError(
                f"{flag} and {name!r} of --environment-kwargs set the same thing: give one of them."
            )
        kwargs[name] = value
    return kwargs


def _prices(options: argparse.Namespace) -> dict[str, tuple[float, float]] | None:
    prices = {} if options.prices is None else _read_prices(options.prices)
    given = (options.price_in, options.price_out)
    if given != (None, None):
        if None in given:
            raise ConfigurationError("Give --price-in and --price-out together.")
        prices[options.model] = given
    return prices or None


def _read_json(flag: str, source: str) -> Any:
    """Return the value of a flag that is JSON or names a JSON file."""
    try:
        text = source if source.lstrip().startswith("{") else Path(source).read_text("utf-8")
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{flag} {source!r} cannot be read: {error}.") from error


def _read_prices(source: str) -> dict[str, tuple[float, float]]:
    parsed = _read_json("--prices", source)
    if not isinstance(parsed, dict) or not all(map(_is_price, parsed.values())):
        raise ConfigurationError(
            "--prices must be a JSON object of the form "
            '{"MODEL": [USD per 1M input tokens, USD per 1M output tokens]}.'
        )
    return {model: (float(pair[0]), float(pair[1])) for model, pair in parsed.items()}


def _is_price(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == _PAIR
        and all(isinstance(number, int | float) and number >= 0 for number in value)
    )
