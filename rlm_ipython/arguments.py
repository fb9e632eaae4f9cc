"""From a magic's flags, and the defaults behind them, to what `RLM` is made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

if TYPE_CHECKING:
    import argparse

    from rlm_ipython.magics import RLMMagics

HOW_TO_CHOOSE = '-m NAME, or for all cells %config RLMMagics.model = "NAME"'
IMAGE_IS_FOR_CONTAINERS = "--image is for containers: add --docker or --modal."


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
    kwargs = {**backend_kwargs(backend, flags.base_url, defaults), "model_name": model}
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
        from rlm.api.approval import ask

        arguments["approve"] = ask
    if sub_model := flags.sub_model or defaults.sub_model:
        arguments["other_backends"] = [backend]
        arguments["other_backend_kwargs"] = [{**kwargs, "model_name": sub_model}]
    return arguments


def backend_kwargs(backend: str, base_url: str | None, defaults: RLMMagics) -> dict[str, Any]:
    """Return what a backend's client is made with, beside the model's name.

    Args:
        backend: The provider.
        base_url: The API's address, where the magic's line says it.
        defaults: The magics; what they say of their own backend means nothing to another, whose
            key would be sent to an address that was meant for the first one's.
    """
    own = backend == defaults.backend
    kwargs = dict(defaults.backend_kwargs) if own else {}
    if base_url := base_url or (defaults.base_url if own else ""):
        kwargs["base_url"] = base_url
    return kwargs


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
        raise UsageError(IMAGE_IS_FOR_CONTAINERS)
    return {**own, "image": image}
