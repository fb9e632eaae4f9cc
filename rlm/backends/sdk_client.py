"""The base of the clients on the `openai` and `anthropic` SDKs: one request, one outcome.

Requests go through the SDK's documented `post`, which does authentication, address, encoding and
errors. The SDK's typed methods would also walk over every message (0.3 ms each) and build pydantic
models. We parse the replies ourselves, and so detect malformed ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from rlm.backends import http as transport
from rlm.backends import provider_errors
from rlm.backends.base import LMReply
from rlm.backends.chat_format import InBandError, MalformedReplyError
from rlm.backends.sse import event_data
from rlm.errors import BackendError
from rlm.secret_values import secret_values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from rlm.backends.endpoint import Endpoint
    from rlm.events import CallUsage

LINGER = 0.5
"""Seconds to wait for the end of a stream after its last event: then the connection can be kept."""

Outcome = LMReply | BackendError


class PartialReply(Protocol):
    """The part of a streamed reply that has arrived."""

    finish_reason: str | None
    complete: bool

    @property
    def text(self) -> str:
        """The text so far."""
        ...

    @property
    def usage(self) -> CallUsage:
        """Tokens and cost, if the provider has reported them."""
        ...

    def add(self, chunk: Any) -> None:
        """Add one event's data."""
        ...


class SDKClient:
    """A client on an SDK; the first call builds the SDK's client, on the event loop of that call.

    Attributes:
        sdk: The SDK's package.
        path: The path of the API's one endpoint.
        read: Reads a whole reply: text, usage, finish reason.
        streamed: The class that collects a streamed reply.
        max_retries: How often the rate limiter may ask again; None is its default.
    """

    sdk: ModuleType
    path: ClassVar[str]
    read: ClassVar[staticmethod[[Any], tuple[str, CallUsage, str | None]]]
    streamed: ClassVar[type[PartialReply]]

    def __init__(
        self,
        endpoint: Endpoint,
        backend_kwargs: Mapping[str, Any],
        sampling_args: Mapping[str, Any] | None = None,
    ) -> None:
        self.backend = endpoint.provider.name
        self.model_name: str = backend_kwargs["model_name"]
        self.reports_cost = endpoint.provider.reports_cost
        self.max_retries: int | None = backend_kwargs.get("max_retries")
        sdk = self.sdk
        self._sdk_error = sdk.OpenAIError if hasattr(sdk, "OpenAIError") else sdk.AnthropicError
        self._http = transport.http_module(sdk)
        self._kwargs = dict(backend_kwargs)
        sampling = {**(backend_kwargs.get("sampling_args") or {}), **(sampling_args or {})}
        # A provider's error may quote what we sent.
        self._endpoint = replace(endpoint, secrets=(*endpoint.secrets, *secret_values(sampling)))
        self._extra_body: dict[str, Any] = sampling.pop("extra_body", None) or {}
        # The SDK looks for headers to omit in each request.
        self._extra_headers: dict[str, Any] = {
            **{name: sdk.Omit() for name, value in endpoint.headers.items() if value is None},
            **(sampling.pop("extra_headers", None) or {}),
        }
        self._extra_query: dict[str, Any] = sampling.pop("extra_query", None) or {}
        self._sampling = self._renamed({k: v for k, v in sampling.items() if v is not None})
        self._client: Any = None

    async def close(self) -> None:
        """Close the connections, unless the user gave the `http_client`."""
        client, self._client = self._client, None
        if client is not None and self._kwargs.get("http_client") is None:
            await client.close()

    def sdk_client(self) -> Any:
        """Return the SDK's client; the first call builds it."""
        if self._client is None:
            self._client = self._open()
        return self._client

    def _build(self, constructor: Any, **arguments: Any) -> Any:
        """Build the SDK's client without anything from the environment."""
        timeout = transport.timeouts(self._http, self._kwargs.get("timeout"))
        headers = {k: v for k, v in self._endpoint.headers.items() if v is not None}
        own = {*headers, *self._extra_headers}
        for name, header in (
            ("organization", "openai-organization"),
            ("project", "openai-project"),
        ):
            if arguments.get(name):
                own.add(header)
        client = constructor(
            max_retries=0,
            timeout=timeout,
            default_headers=headers,
            default_query=self._kwargs.get("default_query"),
            http_client=self._kwargs.get("http_client")
            or transport.connections(self._http, timeout, own),
            **arguments,
        )
        # Both SDKs add headers, and replace None, from the environment.
        client._custom_headers = headers  # noqa: SLF001 - no public way takes ambient headers out
        return client

    def _open(self) -> Any:
        """Return the SDK's client."""
        raise NotImplementedError

    def _renamed(self, sampling: dict[str, Any]) -> dict[str, Any]:
        """Return sampling arguments by the names of this API."""
        raise NotImplementedError

    async def _ask(self, body: dict[str, Any], model: str, *, stream: bool) -> Outcome:
        """Send one request; return the reply, or the error to raise (outside of any `except`)."""
        body = {**body, **self._extra_body}
        try:
            try:
                response = await self._post(body, stream=stream)
            except UnicodeEncodeError:
                # A lone surrogate: the cell cut a text inside a character, say.
                response = await self._post(_sendable(body), stream=stream)
        except self.sdk.APIStatusError as error:
            return provider_errors.from_status(
                self._endpoint, model, error.status_code, error.body, error.response.headers
            )
        except (self.sdk.APIConnectionError, self._http.HTTPError) as error:
            return provider_errors.from_network(self._endpoint, model, error)
        except (self._sdk_error, self._http.InvalidURL, TypeError, ValueError) as error:
            return provider_errors.unsendable(self._endpoint, model, error)
        try:
            return await self._receive(response, model, stream=stream)
        except InBandError as error:
            return provider_errors.from_status(self._endpoint, model, error.status, error.body)
        except MalformedReplyError as error:
            return provider_errors.malformed(self._endpoint, model, str(error))
        except (self._http.HTTPError, OSError, EOFError) as error:
            return provider_errors.from_network(self._endpoint, model, error)
        finally:
            await response.aclose()

    async def _post(self, body: dict[str, Any], *, stream: bool) -> Any:
        options: dict[str, Any] = {}
        if self._extra_headers:
            options["headers"] = self._extra_headers
        if self._extra_query:
            options["params"] = self._extra_query
        if stream:
            # Then the SDK leaves reading the body to us.
            return await self.sdk_client().post(
                self.path,
                cast_to=self._http.Response,
                body=body,
                options=options,
                stream=True,
                stream_cls=self.sdk.AsyncStream[object],
            )
        return await self.sdk_client().post(
            self.path, cast_to=self._http.Response, body=body, options=options
        )

    async def _receive(self, response: Any, model: str, *, stream: bool) -> Outcome:
        """Read the whole reply: an event stream, or JSON from a server that does not stream."""
        if stream and "json" not in response.headers.get("content-type", ""):
            incoming = self.streamed()
            try:
                await self._listen(response, incoming)
            except MalformedReplyError:
                if not incoming.text:
                    raise
            except (self._http.HTTPError, self._http.StreamError, OSError, EOFError) as error:
                if isinstance(error, self._http.TimeoutException) and not incoming.complete:
                    raise
            if not incoming.complete:
                return provider_errors.cut(self._endpoint, model, len(incoming.text))
            return self._reply(model, incoming.text, incoming.usage, incoming.finish_reason)
        return self._reply(model, *self.read(_json(await response.aread())))

    @staticmethod
    async def _listen(response: Any, incoming: PartialReply) -> None:
        """Read a stream's events up to the last one, then the rest of the body."""
        chunks = response.aiter_bytes()
        async with contextlib.aclosing(event_data(chunks)) as events:
            async for data in events:
                if data == "[DONE]":
                    incoming.complete = True
                    break
                incoming.add(_json(data))
        # Only after the whole body was read can the connection be used again.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                async for _ in chunks:
                    pass

    @staticmethod
    def _reply(model: str, text: str, usage: CallUsage, finish_reason: str | None) -> LMReply:
        return LMReply(text=text, model=model, usage=usage, finish_reason=finish_reason)


def _sendable(value: Any) -> Any:
    """Return a JSON value with U+FFFD for each lone surrogate, which UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_sendable(name): _sendable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sendable(item) for item in value]
    return value


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        shown = text.decode(errors="replace") if isinstance(text, bytes) else text
        raise MalformedReplyError(
            f"it is not JSON: {provider_errors.provider_words(shown)!r}."
            if shown
            else "it is empty."
        ) from None
