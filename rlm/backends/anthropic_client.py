"""Anthropic's messages API, through the `anthropic` SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic

from rlm.backends.anthropic_messages import (
    StreamedMessage,
    convert,
    default_max_tokens,
    read_message,
)
from rlm.backends.sdk_client import SDKClient

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rlm.backends.base import LMReply
    from rlm.backends.endpoint import Endpoint
    from rlm.events import CallUsage, Message

_NAMES = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}
"""Sampling arguments that OpenAI's API, and so our users, know by another name."""


class AnthropicClient(SDKClient):
    """A messages API client.

    Args:
        endpoint: Where requests go.
        backend_kwargs: As the user gave them.
        sampling_args: Fields for every request, over those of `backend_kwargs`.
    """

    path = "/v1/messages"

    def __init__(
        self,
        endpoint: Endpoint,
        backend_kwargs: Mapping[str, Any],
        sampling_args: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(anthropic, endpoint, backend_kwargs, sampling_args)
        self._sampling = {_NAMES.get(name, name): v for name, v in self._sampling.items()}
        stop = self._sampling.get("stop_sequences")
        if isinstance(stop, str):
            self._sampling["stop_sequences"] = [stop]
        if backend_kwargs.get("max_tokens"):
            self._sampling.setdefault("max_tokens", backend_kwargs["max_tokens"])

    async def complete(
        self, messages: Sequence[Message], *, model: str | None = None, stream: bool = False
    ) -> LMReply:
        """Ask the model once.

        Args:
            messages: The chat so far; content is text, or parts in OpenAI's shape.
            model: Another model of the same provider.
            stream: Whether to have the reply streamed (the reply is returned whole all the same).

        Raises:
            BackendError: The provider failed.
        """
        asked = model or self.model_name
        system, turns = convert(messages)
        body: dict[str, Any] = {
            "model": asked,
            "max_tokens": default_max_tokens(asked),
            "messages": turns,
            **self._sampling,
        }
        if system:
            body["system"] = system
        if stream:
            body["stream"] = True
        outcome = await self._ask(body, asked, stream=stream)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _open(self) -> Any:
        endpoint = self._endpoint
        client = self._build(
            anthropic.AsyncAnthropic,
            base_url=endpoint.base_url,
            api_key=endpoint.api_key,
            **endpoint.options,
        )
        # Older releases of the SDK add a token from the environment to a key that was given.
        client.auth_token = endpoint.options.get("auth_token")
        client.api_key = endpoint.api_key
        client.webhook_key = endpoint.options.get("webhook_key")
        return client

    def _read(self, data: Any) -> tuple[str, CallUsage, str | None]:
        return read_message(data)

    def _incoming(self) -> StreamedMessage:
        return StreamedMessage()
