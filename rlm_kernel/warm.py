"""Boxes kept running between trees, cleaned, so that the next tree need not wait for one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlm_kernel.relay import Relay
    from rlm_kernel.relayed_sandbox import Box

_CLEAN_SECONDS = 5.0
_END_SECONDS = 3.0


class WarmBoxes:
    """The boxes of one owner, on one event loop; all of them are started with the same options.

    Args:
        limit: How many are kept while nobody uses them.
    """

    def __init__(self, limit: int = 16) -> None:
        self._limit = limit
        self._idle: list[tuple[Box, Relay]] = []
        self._closed = False

    async def take(self) -> tuple[Box, Relay] | None:
        """Return a clean box that runs; None when there is none."""
        while self._idle:
            box, relay = self._idle.pop()
            if not relay.server.ended:
                return box, relay
            await end(box, relay)
        return None

    async def keep(self, box: Box, relay: Relay) -> None:
        """Clean a box and keep it, or end it when it cannot be cleaned or is one too many."""
        clean = False
        if not self._closed and len(self._idle) < self._limit:
            with contextlib.suppress(TimeoutError):
                clean = await asyncio.wait_for(relay.clean(), _CLEAN_SECONDS)
        if clean and not self._closed:
            self._idle.append((box, relay))
        else:
            await end(box, relay)

    async def close(self) -> None:
        """End those that are kept."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(end(box, relay) for box, relay in idle))


async def end(box: Box, relay: Relay) -> None:
    """End a box; nothing of it is left then."""
    relay.server.send(op="end")
    ended = await relay.ended(_END_SECONDS)
    await relay.close()
    await box.end(ended=ended)
