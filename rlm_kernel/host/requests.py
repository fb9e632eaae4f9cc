"""Requests to one kernel, each with the reply that answers it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rlm_kernel.errors import KernelDiedError

if TYPE_CHECKING:
    from rlm_kernel.host.fork_server import KernelProcess
    from rlm_kernel.host.sandbox import MessageChannels


class Requests:
    """The requests to one kernel; its successor gets new ones.

    Args:
        process: The kernel.
        channels: Lead to it.
    """

    def __init__(self, process: KernelProcess, channels: MessageChannels) -> None:
        self._process = process
        self._channels: MessageChannels | None = channels
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}

    def send(
        self,
        channel: str,
        msg_type: str,
        content: dict[str, Any],
        buffers: list[bytes] | None = None,
    ) -> asyncio.Future[dict[str, Any]]:
        """Send a request; the future gets its reply, or nothing after `close`."""
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if self._channels is not None:
            msg_id = self._channels.send(channel, msg_type, content, buffers)
            self._replies[msg_id] = reply
            reply.add_done_callback(lambda _: self._replies.pop(msg_id, None))
        return reply

    async def ask(
        self,
        msg_type: str,
        content: dict[str, Any],
        buffers: list[bytes] | None = None,
        *,
        within: float,
    ) -> dict[str, Any]:
        """Ask on the shell channel and return the reply's content.

        Raises:
            TimeoutError: It took longer than `within` seconds.
            KernelDiedError: The kernel died first.
        """
        reply = self.send("shell", msg_type, content, buffers)
        died = self._process.died
        try:
            both: list[asyncio.Future[Any]] = [reply, died]
            await asyncio.wait(both, timeout=within, return_when=asyncio.FIRST_COMPLETED)
            if reply.done():
                found: dict[str, Any] = reply.result()["content"]
                return found
            if died.done():
                raise KernelDiedError(self._process.exit_reason(), exit_code=died.result())
            raise TimeoutError
        finally:
            reply.cancel()

    def take(self, parent: str, message: dict[str, Any]) -> None:
        """Take a reply to the request `parent`, if that still waits."""
        reply = self._replies.get(parent)
        if reply is not None and not reply.done():
            reply.set_result(message)

    def close(self) -> None:
        """Send no more."""
        self._channels = None
