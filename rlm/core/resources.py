"""What an `RLM` keeps between completions; `close`, its collection or the exit frees it."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from rlm.core.environments import kept_between_trees, new_sandbox
from rlm.core.kernels import KeptKernel
from rlm.core.loop import Job, on_engine_thread, uncancellable
from rlm.core.model_calls import Clients
from rlm_kernel.host.process_hooks import at_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlm.core.config import RunConfig
    from rlm.core.loop import EngineLoop
    from rlm_kernel.host.sandbox import Sandbox
    from rlm_kernel.relay.pool import MachinePool

_RUN_GRACE = 10.0
"""Seconds that cancelled runs have to end, with their kernels, before what they use is closed."""


class Owner(Protocol):
    """An `RLM`."""

    def close(self) -> None:
        """Close its resources and its readers."""


class Resources:
    """The clients of an `RLM`, its lease on the fork server, and its kernel if it is persistent.

    All of it lives on one event loop. It must not refer to the user's objects: a callback may be a
    method of an object that has the `RLM`, and would keep both alive for ever.

    Args:
        loop: The engine's loop.
        owner: The `RLM`. When it is collected, everything is freed; at exit it is closed.
        persistent: Whether to keep a kernel between completions.
        end_readers: Called last after the owner was collected: the readers' threads must get the
            events of the runs that end then. Must not refer to the owner.

    Attributes:
        kept: The kernel of a persistent `RLM`.
        replayed: How many completions were answered from a log.
        closed: Whether no further run may start.
    """

    def __init__(
        self,
        loop: EngineLoop,
        owner: Owner,
        *,
        persistent: bool,
        end_readers: Callable[[], object],
    ) -> None:
        self.loop = loop
        self.clients = Clients()
        self.kept = KeptKernel() if persistent else None
        self.replayed = 0
        self.closed = False
        self._lease: Any = None
        self._warm: MachinePool | None = None
        self._runs: set[asyncio.Task[Any]] = set()
        self._finalizer = weakref.finalize(owner, self._collected, end_readers)
        self._finalizer.atexit = False  # At exit `_close_owners` waits; a finalizer must not.
        _owners.add(owner)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the current task among the runs that `close` cancels.

        Raises:
            CancelledError: It is closed already.
        """
        task = asyncio.current_task()
        if self.closed or task is None:
            raise asyncio.CancelledError
        self._runs.add(task)
        try:
            yield
        finally:
            self._runs.discard(task)

    def sandbox(self, config: RunConfig) -> Sandbox:
        """Return a new tree's sandbox; this starts the local fork server, and keeps it."""
        if config.environment == "local":
            from rlm_kernel.local.server import Lease

            if self._lease is None or self._lease.over:
                self._lease = Lease()
        name, kwargs = config.environment, config.environment_kwargs
        if self._warm is None:
            self._warm = kept_between_trees(name, kwargs)
        return new_sandbox(name, kwargs, self._warm)

    def close(self) -> None:
        """Free everything, and wait for it on any thread but the engine's."""
        self._finalizer.detach()
        if not self.loop.is_ours:
            return
        if on_engine_thread():  # In a user's `__del__`, say: the loop cannot wait for itself.
            self.loop.submit(self._close())
        else:  # A Ctrl-C ends only the wait: nobody could free the rest later.
            Job(self.loop, uncancellable(self._close())).wait()

    def _collected(self, end_readers: Callable[[], object]) -> None:
        """Free everything after the owner was collected, then end the readers.

        It neither waits nor takes a lock: garbage is collected on any thread, at any moment.
        """
        if self.loop.is_ours:
            self.loop.submit(self._close_all(end_readers))

    async def _close_all(self, end_readers: Callable[[], object]) -> None:
        try:
            await self._close()
        finally:
            end_readers()

    async def _close(self) -> None:
        """Cancel the runs first, because they would reopen what is closed here."""
        self.closed = True
        for run_task in self._runs:
            run_task.cancel()
        if self._runs:
            await asyncio.wait(set(self._runs), timeout=_RUN_GRACE)
        lease, self._lease = self._lease, None
        warm, self._warm = self._warm, None
        async with AsyncExitStack() as closing:  # In reverse order, even if one of them fails.
            if lease is not None:
                closing.push_async_callback(lease.close)
            if warm is not None:
                closing.push_async_callback(warm.close)
            if self.kept is not None:
                closing.push_async_callback(self.kept.close)
            # Pushed last, closed first: an interpreter that ends may refuse the kernel's threads.
            closing.push_async_callback(self.clients.close)


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def _close_owners() -> None:
    """Close every `RLM` that nobody closed, before the process ends."""
    for owner in list(_owners):
        with suppress(Exception):
            owner.close()


at_exit(_close_owners)
