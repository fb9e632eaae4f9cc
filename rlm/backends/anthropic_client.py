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
    from collections.abc import Sequence

    from rlm.backends.base import LMReply
    from rlm.events import Message

_NAMES = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}
"""Sampling arguments by OpenAI's names, which users know, and the names of this API."""


class AnthropicClient(SDKClient):
    """A client of the messages API."""

    sdk = anthropic
    path = "/v1/messages"
    read = staticmethod(read_message)
    streamed = StreamedMessage

    async def complete(
        self, messages: Sequence[Message], *, model: str | None = None, stream: bool = False
    ) -> LMReply:
        """Ask the model once; see `LMClient.complete`."""
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

    def _renamed(self, sampling: dict[str, Any]) -> dict[str, Any]:
        sampling = {_NAMES.get(name, name): value for name, value in sampling.items()}
        stop = sampling.get("stop_sequences")
        if isinstance(stop, str):
            sampling["stop_sequences"] = [stop]
        if self._kwargs.get("max_tokens"):
            sampling.setdefault("max_tokens", self._kwargs["max_tokens"])
        return sampling

    def _open(self) -> Any:
        endpoint = self._endpoint
        client = self._build(
            anthropic.AsyncAnthropic,
            base_url=endpoint.base_url,
            api_key=endpoint.api_key,
            **endpoint.options,
        )
        # Older releases of the SDK send a token from the environment next to a given key.
        client.auth_token = endpoint.options.get("auth_token")
        client.api_key = endpoint.api_key
        client.webhook_key = endpoint.options.get("webhook_key")
        return client
