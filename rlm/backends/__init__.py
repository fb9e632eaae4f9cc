"""The backends: their names, their checks, and a client for each on the provider's SDK.

Nothing here imports an SDK before `create` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlm.backends import arguments, endpoint, notebook_client, providers
from rlm.backends.arguments import validate
from rlm.backends.model_info import context_window
from rlm.secret_values import long_secrets, public_kwargs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rlm.backends.base import LMClient

__all__ = [
    "BACKENDS",
    "context_window",
    "create",
    "long_secrets",
    "public_kwargs",
    "reports_cost",
    "validate",
]

BACKENDS = tuple(providers.PROVIDERS)
"""The names of the backends."""


def reports_cost(backend: str) -> bool:
    """Whether a backend's replies report their cost.

    Args:
        backend: The backend's name.

    Raises:
        ConfigurationError: There is no such backend.
    """
    return arguments.provider_named(backend).reports_cost


def create(
    backend: str,
    backend_kwargs: Mapping[str, Any] | None = None,
    sampling_args: Mapping[str, Any] | None = None,
) -> LMClient:
    """Return a client; this imports the provider's SDK, which takes up to a few seconds.

    The client connects at its first call, on the event loop of that call, and keeps its
    connections until it is closed.

    Args:
        backend: The backend's name.
        backend_kwargs: Its keywords, including `model_name`.
        sampling_args: Fields of every request (`temperature`, `max_tokens` ...); they replace
            those in ``backend_kwargs["sampling_args"]``.

    Raises:
        ConfigurationError: The backend is unknown, or a value is not allowed.
        ArgumentError: The backend does not take a keyword.
        MissingPackageError: The backend's package is not installed.
        MissingKeyError: There is no API key.
    """
    kwargs = dict(backend_kwargs or {})
    validate(backend, kwargs)
    arguments.check_sampling(sampling_args)
    provider = arguments.provider_named(backend)
    if provider is providers.NOTEBOOK:
        return notebook_client.NotebookClient(kwargs["model_name"])
    if provider.sdk == "litellm":
        from rlm.backends.litellm_client import LiteLLMClient

        return LiteLLMClient(provider, kwargs, sampling_args)
    resolved = endpoint.resolve(provider, kwargs)
    if provider.sdk == "anthropic":
        from rlm.backends.anthropic_client import AnthropicClient

        return AnthropicClient(resolved, kwargs, sampling_args)
    from rlm.backends.openai_client import OpenAIClient

    return OpenAIClient(resolved, kwargs, sampling_args)
