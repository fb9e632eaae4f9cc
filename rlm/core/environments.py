"""The environments: their names, the keywords of each, and a sandbox for a new tree."""

from __future__ import annotations

import difflib
import importlib.util
from typing import TYPE_CHECKING, Any

from rlm.errors import ArgumentError, ConfigurationError, MissingKeyError, MissingPackageError
from rlm.run_options import ENVIRONMENT
from rlm.run_options.spelling import spelled
from rlm_kernel.docker.options import DOCKER_KWARGS, docker_options
from rlm_kernel.modal.account import NO_TOKEN, token_source
from rlm_kernel.modal.options import MODAL_KWARGS, modal_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rlm_kernel.host.sandbox import Sandbox
    from rlm_kernel.relay.pool import MachinePool

_EVERYWHERE = ("setup_code", "memory_limit", "output_limit", "env")

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "local": _EVERYWHERE,
    "docker": (*_EVERYWHERE, *DOCKER_KWARGS),
    "modal": (*_EVERYWHERE, *MODAL_KWARGS),
}
"""The `environment_kwargs` of every environment, by its name."""

_OPTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "docker": docker_options,
    "modal": modal_options,
}


def check_environment(name: str, kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """Check an environment's name and `environment_kwargs`; return a copy of them.

    Raises:
        ConfigurationError: A value is not allowed.
        ArgumentError: A keyword or a type is wrong.
        MissingPackageError: The environment's package is not installed.
        MissingKeyError: There is no Modal token.
    """
    if name not in ENVIRONMENTS:
        raise ConfigurationError(
            f"Unknown environment {name!r}. Known are {', '.join(map(repr, ENVIRONMENTS))}."
        )
    kwargs = dict(kwargs or {})
    if unknown := set(kwargs) - set(ENVIRONMENTS[name]):
        where = f"The environment {name!r} ({spelled('environment_kwargs')})"
        raise unknown_arguments(unknown, ENVIRONMENTS[name], where)
    _check_everywhere(kwargs)
    if name in _OPTIONS:
        _check_options(name, kwargs)
    if name == "modal" and token_source() is None:
        raise MissingKeyError(f"The environment 'modal': {NO_TOKEN}")
    return kwargs


def new_sandbox(name: str, kwargs: dict[str, Any], warm: MachinePool | None = None) -> Sandbox:
    """Return a new tree's sandbox; call this on the event loop that will use it.

    Args:
        name: The environment.
        kwargs: Its `environment_kwargs`, checked.
        warm: The pool that `kept_between_trees` returned.
    """
    if name == "docker":
        from rlm_kernel.docker.sandbox import docker_sandbox

        return docker_sandbox(docker_options(kwargs), warm)
    if name == "modal":
        from rlm_kernel.modal.sandbox import modal_sandbox

        return modal_sandbox(modal_options(kwargs))
    from rlm_kernel.local.sandbox import local_sandbox

    return local_sandbox()


def kept_between_trees(name: str, kwargs: dict[str, Any]) -> MachinePool | None:
    """Return the pool of an environment that reuses its sandboxes, else None.

    Call this on the event loop that will use the pool. The caller closes the pool.
    """
    if name == "docker" and kwargs.get("reuse"):
        from rlm_kernel.docker.sandbox import warm_containers

        return warm_containers(docker_options(kwargs))
    return None


def unknown_arguments(given: Iterable[str], allowed: Iterable[str], where: str) -> ArgumentError:
    """Return the error for the unknown keywords that `where`, such as ``"RLM()"``, was given."""
    given, allowed = sorted(given), sorted(allowed)
    close = difflib.get_close_matches(given[0], allowed, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    names = ", ".join(map(repr, given))
    return ArgumentError(
        f"{where} takes no argument {names}.{guess} It takes: {', '.join(allowed) or 'none'}."
    )


def _check_everywhere(kwargs: dict[str, Any]) -> None:
    setup_code = kwargs.get("setup_code")
    if setup_code is not None and not isinstance(setup_code, str):
        raise ArgumentError(f"{_key('setup_code')} must be a str, not {type(setup_code).__name__}.")
    limit = kwargs.get("output_limit", 1)
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise ArgumentError(f"{_key('output_limit')} must be a whole number, not {limit!r}.")
    if limit < 1:
        raise ConfigurationError(f"{_key('output_limit')} must be at least 1, not {limit!r}.")
    env = kwargs.get("env")
    if env is not None and not (
        isinstance(env, dict) and all(isinstance(x, str) for pair in env.items() for x in pair)
    ):
        raise ArgumentError(f"{_key('env')} must be a dict of str to str.")


def _key(name: str) -> str:
    return spelled(name, ENVIRONMENT)


def _check_options(name: str, kwargs: dict[str, Any]) -> None:
    """Check the keys of one environment; its package has the environment's name."""
    try:
        _OPTIONS[name](kwargs)
    except TypeError as error:
        raise ArgumentError(f"{spelled('environment_kwargs')}: {error}") from error
    except ValueError as error:
        raise ConfigurationError(f"{spelled('environment_kwargs')}: {error}") from error
    if importlib.util.find_spec(name) is None:
        raise MissingPackageError(
            f"The environment {name!r} needs the package {name}: pip install 'rlm-kernel[{name}]'."
        )
