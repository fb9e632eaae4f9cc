"""Keeps cleaned machines running between trees, so that the next tree need not wait for one.

Users of the same kind of machine on the same event loop share a pool. It ends its machines when its
last user closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlm_kernel.relay.machine import Machine
    from rlm_kernel.relay.multiplexer import Multiplexer

_CLEAN_SECONDS = 5.0
_END_SECONDS = 3.0

LIMIT = 16
"""Idle machines that a pool keeps."""

_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, MachinePool]] = (
    weakref.WeakKeyDictionary()
)


def shared_pool(kind: str) -> MachinePool:
    """Return the running event loop's pool for a kind of machine; the caller closes it."""
    kinds = _shared.setdefault(asyncio.get_running_loop(), {})
    pool = kinds.get(kind)
    if pool is None or pool.users == 0:
        pool = kinds[kind] = MachinePool()
    pool.users += 1
    return pool


class MachinePool:
    """Machines that were all started with the same options.

    Attributes:
        users: How many users have yet to call `close`.
    """

    def __init__(self) -> None:
        self.users = 0
        self._idle: list[tuple[Machine, Multiplexer]] = []

    async def take(self) -> tuple[Machine, Multiplexer] | None:
        """Remove and return a clean, running machine; None when there is none."""
        while self._idle:
            machine, multiplexer = self._idle.pop()
            if not multiplexer.fork_server.ended:
                return machine, multiplexer
            await end(machine, multiplexer)
        return None

    async def keep(self, machine: Machine, multiplexer: Multiplexer) -> None:
        """Clean a machine and keep it; end it when it cannot be cleaned or the pool is full."""
        clean = False
        if self.users and len(self._idle) < LIMIT:
            with contextlib.suppress(TimeoutError):
                clean = await asyncio.wait_for(multiplexer.clean(), _CLEAN_SECONDS)
        if clean and self.users:
            self._idle.append((machine, multiplexer))
        else:
            await end(machine, multiplexer)

    async def close(self) -> None:
        """Leave the pool; the last user's call ends its machines."""
        self.users -= 1
        if self.users:
            return
        idle, self._idle = self._idle, []
        await asyncio.gather(*(end(machine, multiplexer) for machine, multiplexer in idle))


async def end(machine: Machine, multiplexer: Multiplexer) -> None:
    """End a machine and leave nothing of it."""
    multiplexer.fork_server.send(op="end")
    ended = await multiplexer.ended(_END_SECONDS)
    await multiplexer.close()
    await machine.end(ended=ended)
