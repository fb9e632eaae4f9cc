"""Boxes kept running between trees, cleaned, so that the next tree need not wait for one.

Whoever wants boxes of the same kind on the same event loop shares them; they end when the last one
who does says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlm_kernel.relay.machine import Machine
    from rlm_kernel.relay.multiplexer import Relay

_CLEAN_SECONDS = 5.0
_END_SECONDS = 3.0


LIMIT = 16
"""Boxes that are kept while nobody uses them."""

_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, MachinePool]] = (
    weakref.WeakKeyDictionary()
)


def warm_boxes(kind: str) -> MachinePool:
    """Return the running event loop's boxes of a kind, with one user more; that one closes them.

    Args:
        kind: Tells boxes apart that cannot stand for one another.
    """
    kinds = _shared.setdefault(asyncio.get_running_loop(), {})
    boxes = kinds.get(kind)
    if boxes is None or boxes.users == 0:
        boxes = kinds[kind] = MachinePool()
    boxes.users += 1
    return boxes


class MachinePool:
    """Boxes that were all started with the same options.

    Attributes:
        users: How many have yet to call `close`.
    """

    def __init__(self) -> None:
        self.users = 0
        self._idle: list[tuple[Machine, Relay]] = []

    async def take(self) -> tuple[Machine, Relay] | None:
        """Return a clean box that runs; None when there is none."""
        while self._idle:
            box, relay = self._idle.pop()
            if not relay.server.ended:
                return box, relay
            await end(box, relay)
        return None

    async def keep(self, box: Machine, relay: Relay) -> None:
        """Clean a box and keep it, or end it when it cannot be cleaned or is one too many."""
        clean = False
        if self.users and len(self._idle) < LIMIT:
            with contextlib.suppress(TimeoutError):
                clean = await asyncio.wait_for(relay.clean(), _CLEAN_SECONDS)
        if clean and self.users:
            self._idle.append((box, relay))
        else:
            await end(box, relay)

    async def close(self) -> None:
        """Count one user less; the last one ends those that are kept."""
        self.users -= 1
        if self.users:
            return
        idle, self._idle = self._idle, []
        await asyncio.gather(*(end(box, relay) for box, relay in idle))


async def end(box: Machine, relay: Relay) -> None:
    """End a box; nothing of it is left then."""
    relay.server.send(op="end")
    ended = await relay.ended(_END_SECONDS)
    await relay.close()
    await box.end(ended=ended)
