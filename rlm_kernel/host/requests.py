"""Requests to one kernel, and their replies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm_kernel.host.fork_server import KernelProcess
    from rlm_kernel.host.sandbox import MessageChannels


class Requests:
    """The requests to one kernel; a restarted kernel gets a new instance."""

    def __init__(self, process: KernelProcess, channels: MessageChannels) -> None:
        self._process = process
        self._channels: MessageChannels | None = channels
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}

    def send(
        self, channel: str, msg_type: str, content: dict[str, Any], buffers: Sequence[bytes] = ()
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
        buffers: Sequence[bytes] = (),
        *,
        within: float,
    ) -> dict[str, Any]:
        """Ask on the shell channel and return the reply's content.

        Raises:
            TimeoutError: It took longer than `within` seconds.
            KernelDiedError: The kernel died first.
        """
        reply = self.send("shell", msg_type, content, buffers)
        try:
            await self._process.wait_for(reply, within)
            if reply.done():
                found: dict[str, Any] = reply.result()["content"]
                return found
            if self._process.died.done():
                raise self._process.death()
            raise TimeoutError
        finally:
            reply.cancel()

    def take(self, parent: str, message: dict[str, Any]) -> None:
        """Take a reply to the request `parent`, if the request still waits."""
        reply = self._replies.get(parent)
        if reply is not None and not reply.done():
            reply.set_result(message)

    def close(self) -> None:
        """Stop sending."""
        self._channels = None
