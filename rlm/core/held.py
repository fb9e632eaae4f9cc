"""What an `RLM` holds beside itself, freed when it is closed, forgotten, or at exit."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rlm.core.completion import Holdings
from rlm.core.loop import EngineLoop, Job, uncancellable
from rlm_kernel.host.exit_hooks import at_exit

if TYPE_CHECKING:
    from rlm.api.readers import ReaderSet
    from rlm.logger.reader_thread import ReaderThread


class Held:
    """What an `RLM` must free, apart from it, so that it can be freed after it is gone.

    It holds nothing of the user's: a callback that is a method of the `RLM`'s owner would keep
    both alive for ever.
    """

    def __init__(self, audience: ReaderSet, *, persistent: bool) -> None:
        self._audience = weakref.ref(audience)
        self._threads = audience.threads
        self._persistent = persistent
        self._loop: EngineLoop | None = None
        self._holdings: Holdings | None = None
        _alive.add(self)

    def on(self, loop: EngineLoop) -> Holdings:
        """Return what is held on the engine's loop; a forked child begins afresh."""
        with loop.lock:
            holdings = self._holdings
            if holdings is None or self._loop is not loop:
                holdings = Holdings(persistent=self._persistent)
                self._loop, self._holdings = loop, holdings
            return holdings

    def close(self) -> None:
        """Free everything and wait for it."""
        audience = self._audience()
        if self._loop is not None and self._loop.is_here:
            # A user's `__del__`, say: to wait for oneself is to wait for ever.
            self._free_soon([])
            if audience is not None:
                audience.forget()
            return
        holdings, self._holdings = self._holdings, None
        try:
            if holdings is not None and self._loop is not None and self._loop.is_ours:
                # A Ctrl-C ends the wait for it alone: nobody could close what it left open
                Job(self._loop, uncancellable(holdings.close())).wait()
        finally:
            if audience is not None:
                audience.close()

    def drop(self) -> None:
        """Free everything without waiting or taking a lock: any thread may be collecting garbage.

        The engine's loop does it. The readers' threads end last, after the events of runs that
        end here.
        """
        self._free_soon(self._threads)

    def _free_soon(self, threads: list[ReaderThread[Any, Any]]) -> None:
        holdings, self._holdings = self._holdings, None
        if holdings is not None and self._loop is not None and self._loop.is_ours:
            self._loop.submit(_free(holdings, threads))


async def _free(holdings: Holdings, threads: list[ReaderThread[Any, Any]]) -> None:
    try:
        await holdings.close()
    finally:
        while threads:
            threads.pop().end()


_alive: weakref.WeakSet[Held] = weakref.WeakSet()


def _close_all() -> None:
    """Free what nobody closed, before the process ends."""
    for held in list(_alive):
        with suppress(Exception):
            held.close()


at_exit(_close_all)
