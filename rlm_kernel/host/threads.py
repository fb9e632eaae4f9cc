"""Calls blocking functions off the event loop, also while the interpreter ends."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


async def in_thread(function: Callable[..., object], *arguments: Any) -> None:
    """Call a function on a thread, or right here while the interpreter ends."""
    try:
        await asyncio.to_thread(function, *arguments)
    except RuntimeError:
        function(*arguments)


def begin_thread(function: Callable[..., object], *arguments: Any) -> None:
    """Call a function on a thread without waiting for it."""
    try:
        threading.Thread(target=function, args=arguments, name="rlm clean-up").start()
    except RuntimeError:  # the interpreter ends
        function(*arguments)
