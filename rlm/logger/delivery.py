"""Delivers a run's events to its readers: each has a queue and a thread, and no run waits for one.

Every event is masked here, once for all readers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rlm.logger.reader_thread import ReaderThread, ThisProcess
from rlm.redaction import Redaction, hand_over
from rlm.trajectory.forest import Forest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rlm.events import Event
    from rlm.trajectory import Trajectory
    from rlm_kernel.context.value import ContextValue

QUEUE_LIMIT = 100_000
"""How many events may wait for one reader; further ones are dropped for that reader."""

_log = logging.getLogger("rlm")


class Reader(Protocol):
    """A consumer of events.

    It may have three more methods:

    - `close()`: the owner of the reader calls it.
    - `on_tree(tree)`: called before the first event of a root run, with the `Trajectory` into which
      the delivery folds that run's events. Read it, do not change it. It has every event that the
      reader was given, and maybe some that still wait for it.
    - `on_context(run_id, value)`: called once per root run, after its `RunStarted`, with the
      context as it travels to the kernel (`rlm_kernel.context.value.ContextValue`), because events
      hold no big one. Its secrets are not masked.
    """

    def on_event(self, event: Event) -> None:
        """Take one event, its secrets masked.

        One `RLM` calls it in order, from one thread. Several `RLM`s that share a reader have a
        thread each, but never call it at the same time.
        """
        ...


class Delivery:
    """Hands each event to each reader, in order, on a thread per reader.

    Secrets are masked before any reader sees an event. A reader that raises is reported once
    (logger `rlm`) and still gets the further events. A reader that is too slow loses events, which
    is reported once, and the run goes on. The maker of a delivery closes it. A forked child may go
    on using it: it gets new threads.

    Attributes:
        threads: The readers' threads, empty before the first event. A thread refers to its reader
            only while something waits for it, so the code that ends the threads need not keep the
            readers alive.
    """

    def __init__(
        self,
        readers: Iterable[Reader],
        *,
        owned: Iterable[Reader] = (),
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        """Prepare the delivery; threads start with the first event.

        Args:
            readers: Readers that `close` does not close.
            owned: More readers, which `close` closes.
            queue_limit: How many events may wait for one reader.
        """
        owned = tuple(owned)
        self._readers = tuple({id(reader): reader for reader in (*readers, *owned)}.values())
        self._owned = {id(reader) for reader in owned}
        self._limit = queue_limit
        self._folds = any(hasattr(reader, "on_tree") for reader in self._readers)
        self.threads: list[ReaderThread[Any, Any]] = []
        self._masking = _Masking(fold=False)
        self._forks: int | None = None
        self._closed = False

    def emit(self, event: Event) -> None:
        """Queue an event for every reader; never waits, never raises, ignored once closed.

        Args:
            event: As it happened. Only one thread at a time may emit.
        """
        if self._forks != ThisProcess.forks and not self._closed:
            self._start()
        if self._closed:
            return
        shared = self._masking.expect(event)
        accepted = False
        for reader, thread in zip(self._readers, self.threads, strict=False):
            accepted |= thread.put(reader, shared)
        if not accepted:
            self._masking.forget()

    def give_context(self, run_id: str, value: ContextValue) -> None:
        """Queue a run's context for the readers that have `on_context`, as `emit` does an event.

        Args:
            run_id: The run, whose `RunStarted` was emitted.
            value: Its context; nothing in it is masked.
        """
        if self._closed or self._forks != ThisProcess.forks:
            return
        for reader, thread in zip(self._readers, self.threads, strict=False):
            if hasattr(reader, "on_context"):
                thread.put(reader, _Context(run_id, value))

    def flush(self, timeout: float | None = 10.0) -> bool:
        """Wait until everything emitted so far has been delivered.

        Args:
            timeout: How long to wait at most, in seconds; None for as long as it takes.

        Returns:
            Whether it all was.
        """
        if self._forks != ThisProcess.forks:
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        delivered = [thread.flush(deadline) for thread in list(self.threads)]
        return all(delivered)

    def close(self, timeout: float | None = 10.0) -> None:
        """Flush, close the readers that are owned, and end the threads; safe to call again.

        Args:
            timeout: How long to wait for slow readers, in seconds; None for as long as it takes.
        """
        if self._closed:
            return
        self._closed = True
        foreign = self._forks not in {None, ThisProcess.forks}
        threads, self.threads[:] = list(self.threads), []
        if foreign:  # A fork copied them: the parent closes its threads and readers.
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        stuck = {thread.key for thread in threads if not thread.close(deadline)}
        for reader in self._readers:
            if id(reader) in self._owned and id(reader) not in stuck:
                _close(reader)

    def forget(self) -> None:
        """Close without waiting: emitted events are still delivered, owned readers stay open."""
        self._closed = True
        if self._forks == ThisProcess.forks:
            end_threads(self.threads)

    def _start(self) -> None:
        """Start the readers' threads: at the first event, and at the first after a fork."""
        self._forks = ThisProcess.forks
        self._masking = _Masking(fold=self._folds)
        self.threads.clear()
        try:
            for reader in self._readers:
                thread = ReaderThread(reader, self._masking.deliver, self._limit)
                thread.start()
                self.threads.append(thread)
        except RuntimeError as error:  # The run goes on, with the readers that have a thread.
            _log.warning("No thread can be started for a reader of a run: %s.", error)
        if self._closed:  # Meanwhile, perhaps before the last thread was in the list.
            end_threads(self.threads)


def end_threads(threads: list[ReaderThread[Any, Any]]) -> None:
    """End the threads of a delivery without waiting, and take them off the list."""
    with suppress(IndexError):
        while True:
            threads.pop().end()


@dataclass(slots=True, eq=False)
class _Shared:
    """An event on its way to several readers.

    Attributes:
        event: As it happened; once `ready`, masked.
        new_tree: The tree that it begins, if trees are folded.
        error: Why it could not be masked: no reader gets it then.
        ready: Whether the other attributes are final.
    """

    event: Event
    new_tree: Trajectory | None = None
    error: Exception | None = None
    ready: bool = False

    def __str__(self) -> str:
        return self.event.type


@dataclass(frozen=True, slots=True)
class _Context:
    """A run's context on its way to a reader."""

    run_id: str
    value: ContextValue

    def __str__(self) -> str:
        return "context"


class _Masking:
    """Masks each event once for all readers, and folds it once for those that want the tree.

    The first reader's thread that needs an event does this, not the engine's loop.
    """

    def __init__(self, *, fold: bool) -> None:
        self._redaction = Redaction()
        self._forest = Forest() if fold else None
        self._waiting: deque[_Shared] = deque()
        self._lock = threading.Lock()

    def expect(self, event: Event) -> _Shared:
        """Take an event before any thread gets it."""
        shared = _Shared(event)
        self._waiting.append(shared)
        return shared

    def forget(self) -> None:
        """Drop the event that came last: no thread got it."""
        self._waiting.pop()

    def deliver(self, reader: Any, item: _Shared | _Context) -> None:
        """Hand something to a reader, on the reader's thread."""
        if isinstance(item, _Context):
            reader.on_context(item.run_id, item.value)
            return
        if not item.ready:
            with self._lock:
                while not item.ready:  # In order, also events that this reader lost.
                    self._prepare(self._waiting.popleft())
        if item.error is not None:
            raise item.error
        if item.new_tree is not None and hasattr(reader, "on_tree"):
            reader.on_tree(item.new_tree)
        hand_over(item.event, reader.on_event)

    def _prepare(self, shared: _Shared) -> None:
        try:
            shared.event = self._redaction(shared.event)
            shared.new_tree = self._fold(shared.event)
        except Exception as error:  # noqa: BLE001  (each reader's thread reports it)
            shared.error = error
        shared.ready = True

    def _fold(self, event: Event) -> Trajectory | None:
        """Fold an event; return the tree that begins with it."""
        tree = None if self._forest is None else self._forest.add(event)
        root = None if tree is None else tree.root
        if self._forest is None or tree is None or root is None:
            return None
        if root.finished is event:
            self._forest.drop(tree)
        return tree if root.started is event else None


def _close(reader: Reader) -> None:
    close = getattr(reader, "close", None)
    if close is None:
        return
    try:
        close()
    except Exception as error:  # noqa: BLE001  (a reader never hurts a run)
        _log.warning(
            "The reader %s failed to close: %s: %s.",
            type(reader).__name__,
            type(error).__name__,
            error,
            exc_info=error,
        )
