"""Bringing events to readers without ever making a run wait for one.

Python may collect garbage at any moment on any thread, also on one that holds a lock of ours. What
is done when a delivery is collected therefore takes no lock and waits for nothing: it leaves a word
in the queues of the threads, which do the rest. For the same reason no thread and no registry keeps
a reader alive; only what waits to be delivered does.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rlm.events import Event
    from rlm_kernel.context.value import ContextValue

QUEUE_LIMIT = 100_000
"""How many events may wait for one reader; what comes beyond is dropped for that reader."""

_log = logging.getLogger("rlm")


class Reader(Protocol):
    """A consumer of events.

    It may have a `close()` too, and `on_context(run_id, value)`, which is called once a root run,
    after its beginning, with its context as it travels to the kernel
    (`rlm_kernel.context.value.ContextValue`): events hold none that is big.
    """

    def on_event(self, event: Event) -> None:
        """Take one event; called in order, from one thread."""
        ...


class Delivery:
    """Hands each event to each reader, in order, on a thread of that reader's own.

    A reader that raises is reported once (logger `rlm`) and goes on receiving. A reader
    that is too slow loses events, which is reported once, and the run goes on. When
    several deliveries have the same reader, it is still called from one thread only.
    A delivery that is forgotten without `close` brings its last events and ends its
    threads; in a forked child it goes on with threads of the child's own.
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
            readers: Whom to tell. They stay their maker's: `close` does not close them.
            owned: Readers that are told too, and closed by `close`.
            queue_limit: How many events may wait for one reader (the first delivery that
                has the reader decides).
        """
        owned = tuple(owned)
        self._readers = tuple({id(reader): reader for reader in (*readers, *owned)}.values())
        self._owned = {id(reader) for reader in owned}
        self._limit = queue_limit
        self._lanes: list[_ReaderThread] = []
        self._era: object = None
        self._closed = False
        self._forgotten = weakref.finalize(self, _leave, self._lanes)
        self._forgotten.atexit = False

    def emit(self, event: Event) -> None:
        """Queue an event for every reader; never waits, never raises, ignored once closed."""
        if self._closed:
            return
        if self._era is not _ReaderThreads.era:
            self._open()
        for reader, lane in zip(self._readers, self._lanes, strict=False):
            lane.put(reader, event)

    def give_context(self, run_id: str, value: ContextValue) -> None:
        """Queue a run's context for the readers that want it; as `emit` does an event.

        Args:
            run_id: The run, which has begun.
            value: Its context.
        """
        if self._closed or self._era is not _ReaderThreads.era:
            return
        for reader, lane in zip(self._readers, self._lanes, strict=False):
            if hasattr(reader, "on_context"):
                lane.put(reader, _Context(run_id, value))

    def flush(self, timeout: float | None = 10.0) -> bool:
        """Wait until everything emitted so far has been delivered.

        Args:
            timeout: How long to wait at most, in seconds; None for as long as it takes.

        Returns:
            Whether it all was.
        """
        if self._era is not _ReaderThreads.era:
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        delivered = [lane.flush(deadline) for lane in list(self._lanes)]
        return all(delivered)

    def close(self, timeout: float | None = 10.0) -> None:
        """Flush, close the readers that are owned, and end the threads; safe to call again.

        Args:
            timeout: How long to wait for slow readers, in seconds; None for as long as it takes.
        """
        with _ReaderThreads.lock:
            if self._closed:
                return
            self._closed = True
            foreign = self._era not in {None, _ReaderThreads.era}
            lanes = [] if foreign else list(self._lanes)
            self._lanes.clear()
        deadline = None if timeout is None else time.monotonic() + timeout
        stuck = {lane.key for lane in lanes if not lane.release(deadline)}
        for reader in self._readers:
            # What a fork copied is its parent's to close.
            if id(reader) in self._owned and id(reader) not in stuck and not foreign:
                _close(reader)

    def forget(self) -> None:
        """Close without waiting: what was emitted is still delivered, owned readers stay open."""
        self._closed = True
        self._forgotten()

    def _open(self) -> None:
        """Find or start the readers' threads: at the first event, and the first after a fork."""
        with _ReaderThreads.lock:
            if self._closed or self._era is _ReaderThreads.era:
                return
            self._era = _ReaderThreads.era
            self._lanes.clear()
            try:
                for reader in self._readers:
                    self._lanes.append(_ReaderThreads.of(reader, self._limit))
            except RuntimeError as error:  # No thread can be started; the run goes on all the same.
                _log.warning("The readers of a run are told nothing more: %s.", error)
            if not self._forgotten.alive:  # meanwhile, when there were fewer lanes, or none
                _leave(self._lanes)


@dataclass(frozen=True, slots=True)
class _Context:
    """A run's context on its way to a reader."""

    run_id: str
    value: ContextValue

    type = "context"


class _Word(Enum):
    """What a lane's thread is told beside events."""

    ONE_LEAVES = auto()
    END = auto()


_Item = tuple[Reader, "Event | _Context"] | threading.Event | _Word


class _ReaderThread:
    """One reader's queue and thread, shared by all deliveries that have the reader."""

    def __init__(self, reader: Reader, limit: int) -> None:
        self.key = id(reader)
        self.users = 0
        self._name = type(reader).__name__
        self._limit = limit
        # Its `put` may be called by a finalizer, whatever the thread was doing.
        self._queue: SimpleQueue[tuple[Reader, Event | _Context] | threading.Event | _Word] = (
            SimpleQueue()
        )
        self._undelivered: deque[None] = deque()
        self._ended = False
        self._reported: set[str] = set()
        self._thread = threading.Thread(
            target=self._run, name=f"rlm-reader-{self._name}", daemon=True
        )
        self._thread.start()

    def put(self, reader: Reader, event: Event | _Context) -> None:
        """Queue an event, or drop it when too many wait."""
        if len(self._undelivered) < self._limit:
            self._undelivered.append(None)
            self._queue.put((reader, event))
            return
        self._report(
            "slow",
            f"is too slow: {self._limit:,} events wait for it. Further events are dropped "
            "for this reader until it catches up; the run goes on",
        )

    def flush(self, deadline: float | None) -> bool:
        """Wait until all that was accepted up to now is delivered."""
        if not self._undelivered:
            return True
        if threading.current_thread() is self._thread:
            return False  # a reader that flushes would wait for itself
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(None if deadline is None else max(deadline - time.monotonic(), 0.0))

    def release(self, deadline: float | None) -> bool:
        """Give the lane up and return whether all was delivered; the last user ends its thread."""
        delivered = self.flush(deadline)
        with _ReaderThreads.lock:
            last = self._one_left()
        if not last:
            return delivered
        own = threading.current_thread() is self._thread
        if not delivered:
            self._ended = True
            # One of them it is busy with.
            lost = max(len(self._undelivered) - 1, 0)
            if not own:
                self._report("stuck", f"did not finish in time; {lost:,} events were not delivered")
        self._queue.put(_Word.END)
        if not own:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.1)
            self._thread.join(left)
        return delivered

    def leave(self) -> None:
        """Give the lane up without taking a lock or waiting: its thread does what that takes."""
        self._queue.put(_Word.ONE_LEAVES)

    def _one_left(self) -> bool:
        """Count one user less, with the lock held; return whether it was the last."""
        self.users -= 1
        if self.users == 0 and _ReaderThreads.lanes.get(self.key) is self:
            del _ReaderThreads.lanes[self.key]
        return self.users == 0

    def _run(self) -> None:
        while self._step():
            pass  # Between two steps nothing is held on to.

    def _step(self) -> bool:
        """Do the next thing in the queue; return whether to go on."""
        item = self._queue.get()
        if item is _Word.ONE_LEAVES:
            with _ReaderThreads.lock:
                return not self._one_left()
        if isinstance(item, threading.Event):
            item.set()
        elif isinstance(item, tuple):
            if not self._ended:
                self._deliver(*item)
            self._undelivered.popleft()
        return item is not _Word.END

    def _deliver(self, reader: Reader, event: Event | _Context) -> None:
        try:
            if isinstance(event, _Context):
                reader.on_context(event.run_id, event.value)  # type: ignore[attr-defined]
            else:
                reader.on_event(event)
        except BaseException as error:  # noqa: BLE001  (a reader never hurts a run)
            self._report(
                "raised",
                f"failed on a {event.type} event: {type(error).__name__}: {error}. "
                "It goes on receiving; this is said once",
                error,
            )

    def _report(self, what: str, text: str, error: BaseException | None = None) -> None:
        if what in self._reported:
            return
        self._reported.add(what)
        _log.warning("The reader %s %s.", self._name, text, exc_info=error)


class _ReaderThreads:
    """The lanes of this process; a forked child, which has none of the threads, begins afresh."""

    lanes: dict[int, _ReaderThread] = {}  # noqa: RUF012  (mypy knows it; guarded by the lock)
    # Of the re-entrant kind: a user's own `__del__` may close an RLM amid any allocation.
    lock = threading.RLock()
    era = object()

    @classmethod
    def of(cls, reader: Reader, limit: int) -> _ReaderThread:
        """Return the reader's lane with one more user, with the lock held."""
        key = id(reader)
        if key not in cls.lanes:
            cls.lanes[key] = _ReaderThread(reader, limit)
        cls.lanes[key].users += 1
        return cls.lanes[key]

    @classmethod
    def forget(cls) -> None:
        cls.lanes = {}
        cls.lock = threading.RLock()
        cls.era = object()


os.register_at_fork(after_in_child=_ReaderThreads.forget)


def _leave(lanes: list[_ReaderThread]) -> None:
    """Give up the lanes of a delivery that was collected, each once; takes no lock."""
    with suppress(IndexError):
        while True:
            lanes.pop().leave()


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
