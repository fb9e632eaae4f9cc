"""The sub-call server's process: another client of a notebook kernel, next to the front end.

It says hello on the kernel's control channel, and answers the sub-calls that come back (see
`rlm_kernel.protocol.subcalls`). The answers come from the provider of the entry point
`rlm_kernel.subcall_server`: this package knows nothing of models.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from rlm_kernel.host.channels import Channels
from rlm_kernel.host.subcalls import CallHandler, SubCallDispatcher
from rlm_kernel.protocol.subcalls import FROM_KERNEL, HELLO, HELLO_REPLY, REPLY

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

GROUP = "rlm_kernel.subcall_server"
"""Entry points: `function(settings)` returns an async context manager of a `CallHandler`."""

MAX_SETTINGS = 16 << 20
"""Bytes of the settings; they are a kernelspec's."""

_FIRST_SECONDS = 0.05
_HELLO_SECONDS = 2.0
"""How long to wait for the answer to the first hello; the wait doubles up to this."""


def main() -> None:
    """Answer until stdin ends."""
    asyncio.run(_main())


async def _main() -> None:
    words = asyncio.StreamReader(limit=MAX_SETTINGS)
    protocol = asyncio.StreamReaderProtocol(words)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin.buffer)
    line = await words.readline()
    if line:
        settings: dict[str, Any] = json.loads(line)
        async with _provider()(settings) as handler:
            await serve(settings["connection"], handler, words)


async def serve(
    connection: dict[str, Any], handler: CallHandler, words: asyncio.StreamReader
) -> None:
    """Answer a kernel's calls until `words` ends: its lines are ``started`` and ``died``."""
    client = KernelClient(connection, handler)
    try:
        while word := await words.readline():
            if word == b"started\n":
                client.greet()
            elif word == b"died\n":
                client.cancel_all()
    finally:
        await client.close()


class KernelClient:
    """Answers the calls of one kernel, and of those restarted in its place."""

    def __init__(self, connection: dict[str, Any], handler: CallHandler) -> None:
        self._handler = handler
        self._channels = Channels(connection, self._take, only=("control",))
        self._kernel = ""
        self._dispatcher: SubCallDispatcher | None = None
        self._greeted = asyncio.Event()
        self._greeting: asyncio.Task[None] | None = None

    def greet(self) -> None:
        """Say hello until the kernel answers: it may not have started yet."""
        if self._greeting is not None:
            self._greeting.cancel()
        self._greeted.clear()
        self._greeting = asyncio.create_task(self._greet())

    async def _greet(self) -> None:
        patience = _FIRST_SECONDS
        while not self._greeted.is_set():
            self._channels.send("control", HELLO, {})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._greeted.wait(), patience)
            patience = min(2 * patience, _HELLO_SECONDS)

    def cancel_all(self) -> list[asyncio.Task[None]]:
        """Cancel every call; return their tasks."""
        return self._dispatcher.cancel_all() if self._dispatcher is not None else []

    async def close(self) -> None:
        """Cancel every call and close the channel."""
        if self._greeting is not None:
            self._greeting.cancel()
        if tasks := self.cancel_all():
            await asyncio.wait(tasks)
        self._channels.close()

    def _take(self, _: str, message: dict[str, Any]) -> None:
        """Take a message of the kernel, which may hold anything; drop a malformed one."""
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
            kind = message["header"].get("msg_type")
            if kind == HELLO_REPLY:
                self._greeted.set()
            elif kind in FROM_KERNEL:
                dispatcher = self._dispatcher_of(str(message["header"]["session"]))
                dispatcher.receive(kind, message["content"], message["buffers"])

    def _dispatcher_of(self, kernel: str) -> SubCallDispatcher:
        """Return this kernel's dispatcher; a new kernel numbers its calls from 1 again."""
        if self._dispatcher is None or kernel != self._kernel:
            self.cancel_all()
            self._kernel = kernel
            self._dispatcher = SubCallDispatcher(self._handler, self._send)
        return self._dispatcher

    def _send(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self._channels.send("control", REPLY, content, buffers)


def _provider() -> Callable[[dict[str, Any]], AbstractAsyncContextManager[CallHandler]]:
    provided = entry_points(group=GROUP)
    if not provided:
        sys.exit(f"Nothing provides the entry point {GROUP!r}: reinstall rlm-kernel.")
    found: Callable[[dict[str, Any]], AbstractAsyncContextManager[CallHandler]]
    found = next(iter(provided)).load()
    return found
