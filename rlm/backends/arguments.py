"""Checks what a user passes to a backend, before any SDK is imported."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rlm.backends.endpoint import resolve
from rlm.backends.notebook_client import person_kernel
from rlm.backends.providers import NOTEBOOK, PROVIDERS, Provider
from rlm.errors import ArgumentError, ConfigurationError, MissingPackageError
from rlm.run_options import BACKEND
from rlm.run_options.spelling import spelled
from rlm.secret_values import public_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OURS = ("messages", "model", "n", "stream", "stream_options")
"""Fields of a request that only the engine sets, never a sampling argument."""

LITELLM = ((1, 100), (1, 110))
"""The releases of litellm that we accept; one outside this range was compromised."""


def provider_named(backend: str) -> Provider:
    """Return a backend's row of the table."""
    if backend == NOTEBOOK.name:
        return NOTEBOOK
    provider = PROVIDERS.get(backend) if isinstance(backend, str) else None
    if provider is None:
        raise ConfigurationError(
            f"Unknown backend: {backend!r}.{_meant(backend, PROVIDERS)} "
            f"The backends are: {', '.join(PROVIDERS)}."
        )
    return provider


def validate(backend: str, backend_kwargs: Mapping[str, Any] | None = None) -> None:
    """Check a backend and its keywords, as far as is possible without importing an SDK.

    Args:
        backend: The backend's name.
        backend_kwargs: Its keywords, including `model_name`.

    Raises:
        ConfigurationError: The backend is unknown, or a value is not allowed.
        ArgumentError: The backend does not take a keyword; the message lists those it takes.
        MissingPackageError: The backend's package is not installed.
        MissingKeyError: There is no API key; the message names its variable.
    """
    provider = provider_named(backend)
    kwargs = dict(backend_kwargs or {})
    for name in kwargs:
        if name not in provider.arguments:
            raise ArgumentError(
                f"The backend {backend!r} does not take {spelled(name, BACKEND)}."
                f"{_meant(name, provider.arguments)} "
                f"It takes: {', '.join(sorted(provider.arguments, key=str.lower))}."
            )
    model = kwargs.get("model_name")
    if not isinstance(model, str) or not model.strip():
        raise ConfigurationError(
            f"The backend {backend!r} needs {spelled('model_name', BACKEND)}, the model to ask "
            f"(got {model!r})."
        )
    check_sampling(kwargs.get("sampling_args"))
    _check_numbers(kwargs)
    _check_mappings(kwargs)
    _check_urls(backend, kwargs)
    if provider is NOTEBOOK:
        person_kernel()
        return
    check_package(provider)
    if provider.sdk != "litellm":
        resolve(provider, kwargs)


def check_sampling(sampling_args: Mapping[str, Any] | None) -> None:
    """Check that sampling arguments do not set the engine's own fields."""
    if sampling_args is None:
        return
    if not isinstance(sampling_args, dict):
        raise ConfigurationError(
            "sampling_args must be a dictionary such as {'temperature': 0.2}, "
            f"not {type(sampling_args).__name__}."
        )
    taken = sorted(set(OURS) & set(sampling_args))
    if taken:
        raise ArgumentError(
            f"sampling_args may not set {', '.join(taken)}: only the engine sets those."
        )


def check_package(provider: Provider) -> None:
    """Check that the package that a backend needs is installed, without importing it."""
    package = provider.sdk
    install = "rlm-kernel" if package == "openai" else f"rlm-kernel[{package}]"
    if importlib.util.find_spec(package) is None:
        raise MissingPackageError(
            f"The backend {provider.name!r} needs the package {package!r}, which is not "
            f"installed: pip install '{install}'",
            name=package,
        )
    if package == "litellm":
        _check_litellm(install)


def _check_litellm(install: str) -> None:
    version = importlib.metadata.version("litellm")
    first, before = LITELLM
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not first <= numbers < before:
        raise MissingPackageError(
            f"litellm {version} is installed, but rlm takes only releases from "
            f"{first[0]}.{first[1]} to below {before[0]}.{before[1]}: pip install '{install}'",
            name="litellm",
        )


def _check_numbers(kwargs: Mapping[str, Any]) -> None:
    retries = kwargs.get("max_retries")
    if retries is not None and (
        not isinstance(retries, int) or isinstance(retries, bool) or retries < 0
    ):
        raise ConfigurationError(
            f"{spelled('max_retries', BACKEND)} must be 0 or a larger integer, not {retries!r}."
        )
    timeout = kwargs.get("timeout")
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
        if not timeout > 0:
            raise ConfigurationError(
                f"{spelled('timeout', BACKEND)} is in seconds and must be above 0, not {timeout!r}."
            )
    # The name of its class, because the HTTP package is not imported yet.
    elif timeout is not None and type(timeout).__name__ != "Timeout":
        raise ArgumentError(
            f"{spelled('timeout', BACKEND)} must be a number of seconds or the SDK's own "
            f"Timeout, not {type(timeout).__name__}."
        )
    limit = kwargs.get("max_tokens")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ConfigurationError(
            f"{spelled('max_tokens', BACKEND)} must be an integer above 0, not {limit!r}."
        )


def _check_mappings(kwargs: Mapping[str, Any]) -> None:
    """Check headers and query parameters; errors never show their values."""
    for name, example in (
        ("default_headers", "{'X-Title': 'my run'}"),
        ("default_query", "{'api-version': '1'}"),
    ):
        value = kwargs.get(name)
        if value is None:
            continue
        if not isinstance(value, dict):
            raise ArgumentError(
                f"{spelled(name, BACKEND)} must be a dict such as {example}, "
                f"not {type(value).__name__}."
            )
        wrong = next((key for key in value if not isinstance(key, str)), None)
        if wrong is not None:
            raise ArgumentError(
                f"{spelled(name, BACKEND)} must have names that are str, "
                f"not {type(wrong).__name__}."
            )


def _check_urls(backend: str, kwargs: Mapping[str, Any]) -> None:
    for name in ("base_url", "azure_endpoint", "api_base"):
        value = kwargs.get(name)
        if value is None:
            continue
        try:
            parts = urlsplit(str(value))
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            usable = False
        if not usable:
            raise ConfigurationError(
                f"{spelled(name, BACKEND)} must be an address such as "
                f"'http://localhost:8000/v1', not {public_url(str(value))!r}."
            )
    if backend == "vllm" and not kwargs.get("base_url"):
        raise ConfigurationError(
            f"The backend 'vllm' needs {spelled('base_url', BACKEND)}, the address of your server, "
            "such as 'http://localhost:8000/v1'."
        )


def _meant(name: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
