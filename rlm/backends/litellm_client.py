"""Asks any provider that `litellm` knows, through its `acompletion`.

litellm finds a key in the environment by the provider that the model's name begins with
(`deepseek/...`). For a provider with OpenAI's API it falls back on `OPENAI_API_KEY`, and the
`openai` SDK under it adds OpenAI's organisation, project and custom headers. To prevent both, we
build the `openai` client for such a provider.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import openai

from rlm.backends import http as transport
from rlm.backends import provider_errors
from rlm.backends.base import LMReply
from rlm.backends.chat_format import (
    InBandError,
    MalformedReplyError,
    StreamedReply,
    read_completion,
)
from rlm.backends.endpoint import EMPTY, Endpoint, resolve
from rlm.backends.openai_client import OpenAIClient
from rlm.backends.providers import PROVIDERS
from rlm.errors import BackendError, ConfigurationError, ContextWindowError, MissingKeyError
from rlm.secret_values import secret_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rlm.backends.providers import Provider
    from rlm.events import CallUsage, Message

# Without it, importing litellm fetches its price list from the network.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
litellm: Any = importlib.import_module("litellm")

AMBIENT = ("OPENAI_CUSTOM_HEADERS", "OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT_ID")
"""Variables that the `openai` SDK, or litellm for it, adds to every request."""

_ON_OPENAI_SDK = frozenset({"azure", "azure_text", "custom_openai", "text-completion-openai"})
_PASSED_ON = (
    "api_version",
    "aws_access_key_id",
    "aws_region_name",
    "aws_secret_access_key",
    "aws_session_token",
    "custom_llm_provider",
    "drop_params",
    "vertex_credentials",
    "vertex_location",
    "vertex_project",
)


class LiteLLMClient:
    """A client of the provider that the model's name begins with.

    Attributes:
        reports_cost: Whether litellm knows the model's price.
        max_retries: How often the rate limiter may ask again; None is its default.
    """

    def __init__(
        self,
        provider: Provider,
        backend_kwargs: Mapping[str, Any],
        sampling_args: Mapping[str, Any] | None = None,
    ) -> None:
        # Without it, litellm prints advice to stdout at every error.
        litellm.suppress_debug_info = True
        kwargs = dict(backend_kwargs)
        self.backend = provider.name
        self.model_name: str = kwargs["model_name"]
        self.max_retries: int | None = kwargs.get("max_retries")
        self._kwargs = kwargs
        self._base_url = kwargs.get("base_url") or kwargs.get("api_base")
        sampling = {**(kwargs.get("sampling_args") or {}), **(sampling_args or {})}
        self._sampling = {name: value for name, value in sampling.items() if value is not None}
        self._endpoint = Endpoint(
            provider=provider,
            base_url=self._base_url,
            api_key=kwargs.get("api_key"),
            headers={},
            options={},
            # litellm itself reads keys, from any provider's variable.
            secrets=tuple(
                {
                    *secret_values(kwargs),
                    *secret_values(self._sampling),
                    *secret_values(dict(os.environ)),
                }
            ),
        )
        self._routes: dict[str, dict[str, Any]] = {}
        self._clients: list[Any] = []
        self.reports_cost = _price(self.model_name, 1, 1) is not None

    async def complete(
        self, messages: Sequence[Message], *, model: str | None = None, stream: bool = False
    ) -> LMReply:
        """Ask a model of any provider once; see `LMClient.complete`."""
        asked = model or self.model_name
        outcome = await self._ask(list(messages), asked, stream=stream)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def close(self) -> None:
        """Close the clients that we built; litellm keeps its own."""
        clients, self._clients = self._clients, []
        self._routes.clear()
        for client in clients:
            await client.close()

    async def _ask(
        self, messages: list[Message], model: str, *, stream: bool
    ) -> LMReply | BackendError:
        try:
            arguments = self._arguments(model)
            if stream:
                return await self._stream(messages, model, arguments)
            reply = await litellm.acompletion(model=model, messages=messages, **arguments)
            text, usage, reason = read_completion(reply.model_dump())
        except litellm.ContextWindowExceededError as error:
            found = self._failure(error, model)
            return ContextWindowError(
                str(found), backend=self.backend, model=model, status=found.status
            )
        except openai.OpenAIError as error:
            return self._failure(error, model)
        except InBandError as error:
            return provider_errors.from_status(self._endpoint, model, error.status, error.body)
        except MalformedReplyError as error:
            return provider_errors.malformed(self._endpoint, model, str(error))
        return LMReply(text=text, model=model, usage=_priced(model, usage), finish_reason=reason)

    async def _stream(
        self, messages: list[Message], model: str, arguments: dict[str, Any]
    ) -> LMReply | BackendError:
        incoming = StreamedReply()
        chunks = await litellm.acompletion(
            model=model,
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
            **arguments,
        )
        async for chunk in chunks:
            incoming.add(chunk.model_dump())
        if not incoming.complete:
            return provider_errors.cut(self._endpoint, model, len(incoming.text))
        return LMReply(
            text=incoming.text,
            model=model,
            usage=_priced(model, incoming.usage),
            finish_reason=incoming.finish_reason,
        )

    def _arguments(self, model: str) -> dict[str, Any]:
        """Return the keywords of `acompletion` for a model."""
        if model not in self._routes:
            self._routes[model] = self._route(model)
        timeout = self._kwargs.get("timeout")
        return {
            "timeout": transport.READ_TIMEOUT if timeout is None else timeout,
            "num_retries": 0,
            "max_retries": 0,
            **{n: self._kwargs[n] for n in _PASSED_ON if self._kwargs.get(n) is not None},
            **self._sampling,
            **self._routes[model],
        }

    def _route(self, model: str) -> dict[str, Any]:
        """Decide which provider a model's requests go to, and their key."""
        key = self._kwargs.get("api_key")
        _, provider, found_key, found_base = litellm.get_llm_provider(
            model,
            custom_llm_provider=self._kwargs.get("custom_llm_provider"),
            api_base=self._base_url,
            api_key=key,
        )
        headers = self._kwargs.get("default_headers")
        route: dict[str, Any] = {"extra_headers": headers} if headers else {}
        if self._base_url:
            route["base_url"] = self._base_url
        if key:
            route["api_key"] = key
        if provider == "openai":
            return route | self._clean(PROVIDERS["openai"], self._base_url, key)
        ambient = [name for name in AMBIENT if os.environ.get(name)]
        if provider in _ON_OPENAI_SDK - {"custom_openai"} and ambient:
            raise ConfigurationError(
                f"litellm would send {', '.join(ambient)} to {provider!r} (model {model!r}): "
                "unset that, or use the backend 'azure_openai' or 'openai'."
            )
        if provider == "custom_openai" or provider in litellm.openai_compatible_providers:
            key = key or found_key or (EMPTY if self._base_url else None)
            if key is None:
                # litellm would try OPENAI_API_KEY next.
                raise MissingKeyError(
                    f"No API key for {provider!r} (model {model!r}): set the environment "
                    "variable that litellm names for it, or pass backend_kwargs['api_key']."
                )
            base = self._base_url or found_base
            return route | (self._clean(PROVIDERS["vllm"], base, key) if base else {})
        return route

    def _clean(self, provider: Provider, base_url: str | None, key: str | None) -> dict[str, Any]:
        """Return key, address, and an `openai` client that sends nothing from the environment."""
        kwargs = {
            "model_name": self.model_name,
            "base_url": base_url,
            "api_key": key,
            "timeout": self._kwargs.get("timeout"),
            "organization": self._kwargs.get("organization"),
            "default_headers": self._kwargs.get("default_headers"),
        }
        endpoint = resolve(provider, kwargs)
        client = OpenAIClient(endpoint, kwargs)
        self._clients.append(client)
        return {
            "api_key": endpoint.api_key,
            "base_url": endpoint.base_url,
            "client": client.sdk_client(),
        }

    def _failure(self, error: openai.OpenAIError, model: str) -> BackendError:
        status = getattr(error, "status_code", None)
        if isinstance(error, openai.APIConnectionError) or not isinstance(status, int):
            return provider_errors.from_network(self._endpoint, model, error)
        response = getattr(error, "response", None)
        headers = getattr(error, "litellm_response_headers", None) or getattr(
            response, "headers", {}
        )
        code = getattr(error, "code", None)
        said = f"{error} ({code})" if code else str(error)
        return provider_errors.from_status(self._endpoint, model, status, said, headers)


def _price(model: str, tokens_in: int, tokens_out: int) -> float | None:
    """Return the cost in USD by litellm's price list; None for a model that is not in it."""
    try:
        prices = litellm.cost_per_token(
            model=model, prompt_tokens=tokens_in, completion_tokens=tokens_out
        )
    except Exception:  # noqa: BLE001 - litellm raises bare exceptions for an unknown model
        return None
    total = sum(prices)
    # For an unknown model, litellm's estimate can be zero.
    return float(total) if total > 0 or tokens_in + tokens_out == 0 else None


def _priced(model: str, usage: CallUsage) -> CallUsage:
    if usage.cost is not None or usage.input_tokens is None or usage.output_tokens is None:
        return usage
    return replace(usage, cost=_price(model, usage.input_tokens, usage.output_tokens))
