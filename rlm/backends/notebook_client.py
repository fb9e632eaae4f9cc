"""The backend `notebook`: asks the models of a notebook kernel through its sub-call server.

A kernel of the kernelspec `rlm` has no keys. A run that starts in it (by `%%rlm`, say) asks
`rlm.api.subcall_server`, outside the kernel, over the kernel's control channel.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from rlm.backends.base import LMReply
from rlm.errors import BackendError, ConfigurationError
from rlm.events import CallUsage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rlm.events import Message
    from rlm_kernel.guest.notebook_kernel import NotebookKernel

NAME = "notebook"


def person_kernel() -> NotebookKernel:
    """Return this process's notebook kernel; refuse a process that has none with a model."""
    inside = sys.modules.get("rlm_kernel.guest.notebook_kernel")
    kernel: NotebookKernel | None = None
    if inside is not None and inside.NotebookKernel.initialized():
        kernel = inside.NotebookKernel.instance()
    if kernel is None or not kernel.has_host():
        raise ConfigurationError(
            f"The backend {NAME!r} works only in a notebook of the kernel 'RLM (local)' which has "
            "a model (RLM_MODEL, set before the Jupyter server starts). Name a provider instead."
        )
    return kernel


class NotebookClient:
    """Asks one of the sub-call server's models; that server does retries and prices."""

    backend = NAME
    reports_cost = False
    max_retries = 0

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name
        self._kernel = person_kernel()

    async def complete(
        self, messages: Sequence[Message], *, model: str | None = None, stream: bool = False
    ) -> LMReply:
        """Ask the model once; see `LMClient.complete`."""
        del stream  # the sub-call server sends the reply whole
        name = model or self.model_name
        future = self._kernel.ask_host("chat", list(messages), name)
        try:
            value, error = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._kernel.abandon(future)
            raise
        if error is not None:
            raise _failed(error, name)
        return _reply(json.loads(value), name)

    async def close(self) -> None:
        """Do nothing: the kernel's channel stays open."""


def _reply(found: Mapping[str, Any], name: str) -> LMReply:
    if found.get("error") is not None:
        raise _failed(str(found["error"]), name)
    return LMReply(
        text=found["text"],
        model=name,
        usage=CallUsage(**found["usage"]),
        finish_reason=found["finish_reason"],
    )


def _failed(problem: str, model: str) -> BackendError:
    return BackendError(
        f"The notebook's sub-call server could not ask {model!r}: {problem}",
        backend=NAME,
        model=model,
    )
