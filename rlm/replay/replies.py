"""Clients that return one recorded reply each, without a network."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from rlm.backends.base import LMReply
from rlm.core.subcalls import CANCELLED
from rlm.errors import RLMError
from rlm.events import CallUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm.events import Message, ModelReply
    from rlm.trajectory import SubCallNode


class RecordedCallError(RLMError):
    """A call failed when it was recorded; the message is the text that the cell received."""


class RecordedReply:
    """Returns one recorded reply with its usage, or fails with the recorded error."""

    backend = "replay"
    reports_cost = True
    max_retries = 0

    def __init__(self, reply: LMReply, error: str | None = None) -> None:
        self.model_name = reply.model
        self._reply = reply
        self._error = error

    @classmethod
    def of_turn(cls, reply: ModelReply) -> RecordedReply:
        """Return the client for the reply of a turn."""
        return cls(
            LMReply(
                text=reply.text,
                model=reply.model,
                usage=reply.usage,
                finish_reason=reply.finish_reason,
                reasoning=reply.reasoning,
            )
        )

    @classmethod
    def of_call(cls, call: SubCallNode) -> RecordedReply:
        """Return the client for a plain sub-call that finished."""
        finished = call.finished
        assert finished is not None
        text = finished.response if isinstance(finished.response, str) else ""
        reply = LMReply(
            text=text,
            model=finished.model,
            usage=finished.usage,
            reasoning=finished.reasoning,
        )
        return cls(reply, finished.error)

    async def complete(
        self, messages: Sequence[Message], *, model: str | None = None, stream: bool = False
    ) -> LMReply:
        """Return the recorded reply, or raise the recorded error."""
        del messages, model, stream
        if self._error is not None:
            raise RecordedCallError(self._error)
        return self._reply

    async def close(self) -> None:
        """Do nothing: there is no connection."""


class PendingReply(RecordedReply):
    """Waits until its cell or a limit cancels the call, as when it was recorded.

    After `patience` seconds it fails instead; None waits without limit.
    """

    def __init__(self, patience: float | None) -> None:
        super().__init__(LMReply(text="", model="", usage=CallUsage()), CANCELLED)
        self._patience = patience

    async def complete(
        self, messages: Sequence[Message], *, model: str | None = None, stream: bool = False
    ) -> LMReply:
        """Wait to be cancelled."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                await asyncio.get_running_loop().create_future()
        return await super().complete(messages, model=model, stream=stream)
