"""How a stand-in stops listening without losing a connection that has just come in."""

from __future__ import annotations

import asyncio
from typing import Any


async def stop_accepting(server: Any) -> None:
    """Accept no more, and wait until every connection that was accepted is made.

    Once its server is closed, asyncio drops those that are not, and leaves their sockets to the
    collector (python/cpython#109564).

    Args:
        server: An `asyncio.Server` of the running loop; it is closed afterwards.
    """
    for listener in server.sockets:
        asyncio.get_running_loop().remove_reader(listener.fileno())
    await asyncio.gather(*filter(_accepts, asyncio.all_tasks()))


def _accepts(task: asyncio.Task[Any]) -> bool:
    """Return whether a task is asyncio's own that makes a connection of an accepted socket."""
    return getattr(task.get_coro(), "__name__", "") == "_accept_connection2"
