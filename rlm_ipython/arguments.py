"""Turns a magic's flags, and the defaults behind them, into arguments of `RLM`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rlm.run_options import BACKEND, option
from rlm.run_options.flags import given

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rlm.backends.base import ModelSpec
    from rlm.trajectory import RunNode
    from rlm_ipython.defaults import Defaults

HOW_TO_CHOOSE = '-m NAME, or for all cells %config RLMMagics.model = "NAME"'
IMAGE_IS_FOR_CONTAINERS = "--image is for containers: add --docker or --modal."
_TOOLS = ("custom_tools", "custom_sub_tools")


def rlm_arguments(flags: argparse.Namespace, defaults: Defaults) -> dict[str, Any]:
    """Return `RLM`'s keyword arguments for a `%%rlm` cell.

    Raises:
        UsageError: No model is named, or two flags contradict each other.
    """
    model = flags.model or defaults.model
    if not model:
        raise UsageError(f"No model is named. Name one: {HOW_TO_CHOOSE} (or set RLM_MODEL).")
    backend = flags.backend or defaults.backend
    kwargs = {**backend_kwargs(backend, flags.base_url, defaults), "model_name": model}
    arguments: dict[str, Any] = {
        **defaults.extra,
        **{
            name: value or getattr(defaults, option(name).trait)
            for name, value in given(flags, "magic").items()
        },
        "backend_kwargs": kwargs,
        "environment": flags.environment or defaults.environment,
        "environment_kwargs": environment_kwargs(flags, defaults),
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


def backend_kwargs(backend: str, base_url: str | None, defaults: Defaults) -> dict[str, Any]:
    """Return a client's keywords without the model's name.

    The defaults apply to the default backend alone: another provider's key must not go to the
    address that was set for the default one.
    """
    is_default = backend == defaults.backend
    kwargs = dict(defaults.backend_kwargs) if is_default else {}
    if base_url := base_url or (defaults.base_url if is_default else ""):
        kwargs["base_url"] = base_url
    return kwargs


def environment_kwargs(flags: argparse.Namespace, defaults: Defaults) -> dict[str, Any]:
    """Return the environment's keywords; refuse an image for an environment that has none."""
    environment = flags.environment or defaults.environment
    # The default keywords apply to the default environment alone.
    kwargs = defaults.environment_kwargs if environment == defaults.environment else {}
    image = flags.image or (defaults.image if environment != "local" else "")
    if not image:
        return dict(kwargs)
    if environment == "local":
        raise UsageError(IMAGE_IS_FOR_CONTAINERS)
    return {**kwargs, "image": image}


def changes_of(
    flags: argparse.Namespace,
    magics: Defaults,
    root: RunNode,
    *,
    asks: bool,
    asked: Sequence[ModelSpec] = (),
) -> dict[str, Any]:
    """Return the arguments of `RLM` that a replay or fork sets differently from the record.

    Args:
        flags: The magic line's.
        magics: The shell's.
        root: The recorded run.
        asks: Whether a model will be asked.
        asked: The models that a run of this shell asked, its root's first; a fork may ask them
            again at the same addresses. For a run from a file the user has to give the address.

    Raises:
        UsageError: A flag makes no sense for that run.
        RLMError: The record's configuration cannot be read.
    """
    from rlm.replay.arguments import recorded_arguments

    changes: dict[str, Any] = {
        **given(flags, "magic"),
        # A log does not hold functions and values.
        **{name: magics.extra.get(name) for name in _TOOLS},
    }
    recorded = recorded_arguments(root, changes)
    changes |= _environment(flags, magics, recorded)
    if asks:
        changes |= _models(flags, magics, recorded, asked)
        changes["prices"] = {name: tuple(pair) for name, pair in magics.prices.items()} or None
    if flags.step:
        from rlm.api.approval import ask

        changes["approve"] = ask
    return {name: value for name, value in changes.items() if value is not None}


def _environment(
    flags: argparse.Namespace, magics: Defaults, recorded: dict[str, Any]
) -> dict[str, Any]:
    if flags.environment:
        kwargs = environment_kwargs(flags, magics)
        return {"environment": flags.environment, "environment_kwargs": kwargs}
    if not flags.image:
        return {}
    if recorded["environment"] == "local":
        raise UsageError(IMAGE_IS_FOR_CONTAINERS)
    return {"environment_kwargs": {"image": flags.image}}


def _models(
    flags: argparse.Namespace,
    magics: Defaults,
    recorded: dict[str, Any],
    asked: Sequence[ModelSpec],
) -> dict[str, Any]:
    """Return the backends and their keywords, as far as they differ from the recorded ones."""
    from rlm.replay.from_log import taken_keys

    backend = flags.backend or recorded["backend"]
    kwargs = _client(backend, flags.base_url, magics, asked[0] if asked else None)
    found: dict[str, Any] = {"backend": flags.backend, "backend_kwargs": kwargs or None}
    if flags.sub_model:
        known = recorded["backend_kwargs"] if backend == recorded["backend"] else {}
        known = taken_keys(known, BACKEND)
        found["other_backends"] = [backend]
        found["other_backend_kwargs"] = [{**known, **kwargs, "model_name": flags.sub_model}]
    else:
        found["other_backend_kwargs"] = _others(
            magics, recorded, asked[1:], {backend: flags.base_url}
        )
    return found


def _others(
    magics: Defaults,
    recorded: dict[str, Any],
    asked: Sequence[ModelSpec],
    addresses_given: dict[str, str | None],
) -> list[dict[str, Any]] | None:
    """Return the keywords for the recorded sub-models' clients.

    None when the address of one is known from the record alone: the engine then refuses the run.
    """
    from rlm.replay.from_log import addresses, taken_keys

    found = []
    names, options = recorded.get("other_backends", ()), recorded.get("other_backend_kwargs", ())
    for index, (name, recorded_kwargs) in enumerate(zip(names, options, strict=False)):
        spec = asked[index] if index < len(asked) else None
        kwargs = _client(name, addresses_given.get(name), magics, spec)
        if addresses(recorded_kwargs) - kwargs.keys():
            return None
        model = recorded_kwargs["model_name"]
        found.append({**taken_keys(recorded_kwargs, BACKEND), **kwargs, "model_name": model})
    return found or None


def _client(
    backend: str, base_url: str | None, magics: Defaults, spec: ModelSpec | None
) -> dict[str, Any]:
    """Return a client's keywords, so that a key goes only to the address it was given for.

    For the address that this shell's run asked, they are that run's. For another address they
    come from the line and today's defaults alone.
    """
    if spec is not None and spec.backend == backend:
        known = spec.backend_kwargs
        if not base_url or base_url == known.get("base_url"):
            return dict(known)
    return backend_kwargs(backend, base_url, magics)
