"""From a magic's flags, and the defaults behind them, to what `RLM` is made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

if TYPE_CHECKING:
    import argparse

    from rlm_ipython.magics import RLMMagics

HOW_TO_CHOOSE = '-m NAME, or for all cells %config RLMMagics.model = "NAME"'


def rlm_arguments(flags: argparse.Namespace, defaults: RLMMagics) -> dict[str, Any]:
    """Return `RLM`'s keyword arguments.

    Args:
        flags: What the magic's line says.
        defaults: The magics, whose traits speak where the line is silent.

    Raises:
        UsageError: No model is named, or a flag makes no sense beside another.
    """
    model = flags.model or defaults.model
    if not model:
        raise UsageError(f"No model is named. Name one: {HOW_TO_CHOOSE} (or set RLM_MODEL).")
    backend = flags.backend or defaults.backend
    kwargs: dict[str, Any] = {**defaults.backend_kwargs, "model_name": model}
    if base_url := flags.base_url or defaults.base_url:
        kwargs["base_url"] = base_url
    arguments: dict[str, Any] = {
        **defaults.extra,
        "backend": backend,
        "backend_kwargs": kwargs,
        "environment": flags.environment or defaults.environment,
        "environment_kwargs": environment_kwargs(flags, defaults),
        "max_depth": flags.max_depth or defaults.max_depth,
        "max_iterations": flags.max_iterations or defaults.max_iterations,
        "max_budget": flags.budget or defaults.budget,
        "max_timeout": flags.timeout or defaults.timeout,
        "max_tokens": flags.tokens or defaults.tokens,
        "prices": {name: tuple(pair) for name, pair in defaults.prices.items()} or None,
        "persistent": flags.persistent,
    }
    if flags.step:
        from rlm.approval import ask  # noqa: PLC0415 - needed here alone

        arguments["approve"] = ask
    if sub_model := flags.sub_model or defaults.sub_model:
        arguments["other_backends"] = [backend]
        arguments["other_backend_kwargs"] = [{**kwargs, "model_name": sub_model}]
    return arguments


def environment_kwargs(flags: argparse.Namespace, defaults: RLMMagics) -> dict[str, Any]:
    """Return what the environment is made with.

    Args:
        flags: As for `rlm_arguments`.
        defaults: As for `rlm_arguments`.

    Raises:
        UsageError: An image is named for an environment that has none.
    """
    environment = flags.environment or defaults.environment
    # What the defaults say of one environment means nothing to another.
    own = defaults.environment_kwargs if environment == defaults.environment else {}
    image = flags.image or (defaults.image if environment != "local" else "")
    if not image:
        return dict(own)
    if environment == "local":
        raise UsageError("--image is for containers: add --docker or --modal.")
    return {**own, "image": image}
