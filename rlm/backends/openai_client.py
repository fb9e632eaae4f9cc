"""Asks every provider that serves OpenAI's chat completions API, through the `openai` SDK."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import openai

from rlm.backends.chat_format import StreamedReply, read_completion
from rlm.backends.endpoint import EMPTY
from rlm.backends.sdk_client import SDKClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm.backends.base import LMReply
    from rlm.errors import BackendError
    from rlm.events import Message

REFUSALS = frozenset({400, 404, 405, 415, 422, 501})
"""Statuses with which servers refuse a parameter that they do not know."""

_USAGE = re.compile(r"stream_options|include_usage")
_STREAM = re.compile(r"\bstream(ing|ed|s)?\b", re.IGNORECASE)


class _Mode(IntEnum):
    """How to ask for a reply; a server that refuses one mode is asked in a later one."""

    STREAM_WITH_USAGE = 0
    STREAM = 1
    PLAIN = 2


class OpenAIClient(SDKClient):
    """A client of the chat completions API."""

    sdk = openai
    path = "/chat/completions"
    read = staticmethod(read_completion)
    streamed = StreamedReply
    _mode = _Mode.STREAM_WITH_USAGE

    async def complete(
        self, messages: Sequence[Message], *, model: str | None = None, stream: bool = False
    ) -> LMReply:
        """Ask the model once; see `LMClient.complete`."""
        asked = model or self.model_name
        body = {
            "model": asked,
            "messages": list(messages),
            **self._sampling,
            **self._endpoint.provider.body,
        }
        mode = self._mode if stream else _Mode.PLAIN
        while True:
            outcome = await self._ask(_in_mode(body, mode), asked, stream=mode < _Mode.PLAIN)
            if not isinstance(outcome, Exception):
                if stream and mode > self._mode:
                    self._mode = mode
                return outcome
            fallback = _fallback(outcome, mode)
            if fallback is None:
                raise outcome
            mode = fallback

    def _renamed(self, sampling: dict[str, Any]) -> dict[str, Any]:
        endpoint = self._endpoint
        if (
            endpoint.provider.renames_max_tokens
            and endpoint.api_key != EMPTY
            and "max_tokens" in sampling
        ):
            # OpenAI's newer models refuse the old name; other servers know only that one.
            sampling.setdefault("max_completion_tokens", sampling.pop("max_tokens"))
        return sampling

    def _open(self) -> Any:
        endpoint = self._endpoint
        options = dict(endpoint.options)
        arguments: dict[str, Any] = {"base_url": endpoint.base_url, "api_key": endpoint.api_key}
        if "api_version" in options:
            arguments |= options
            client = self._build(openai.AsyncAzureOpenAI, **arguments)
            # Up to openai 2 the SDK takes a token from the environment even when it has a key.
            if "azure_ad_token" not in options and hasattr(client, "_azure_ad_token"):
                client._azure_ad_token = None  # noqa: SLF001 - no public way
        else:
            if "azure_ad_token" in options:
                arguments["api_key"] = options.pop("azure_ad_token")
            provider = options.pop("azure_ad_token_provider", None)
            if provider is not None:
                arguments["api_key"] = provider
            arguments |= options
            client = self._build(openai.AsyncOpenAI, **arguments)
        client.organization = options.get("organization")
        client.project = options.get("project")
        client.admin_api_key = self._kwargs.get("admin_api_key")
        client.webhook_secret = options.get("webhook_secret")
        return client


def _in_mode(body: dict[str, Any], mode: _Mode) -> dict[str, Any]:
    if mode is _Mode.STREAM_WITH_USAGE:
        return {**body, "stream": True, "stream_options": {"include_usage": True}}
    if mode is _Mode.STREAM:
        return {**body, "stream": True}
    return body


def _fallback(error: BackendError, mode: _Mode) -> _Mode | None:
    """Return the mode to ask in after an error about streaming; None for any other error."""
    if error.status not in REFUSALS or mode is _Mode.PLAIN:
        return None
    text = str(error)
    if mode is _Mode.STREAM_WITH_USAGE and _USAGE.search(text):
        return _Mode.STREAM
    return _Mode.PLAIN if _STREAM.search(text) else None
