"""One reader's queue and thread."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from rlm_kernel.host.process_hooks import after_fork_in_child

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("rlm")


class _Delivering(threading.local):
    """The reader that this thread is calling, by its key."""

    key: int | None = None


_delivering = _Delivering()

R = TypeVar("R")
T = TypeVar("T")


class ReaderThread(Generic[R, T]):
    """Hands items to one reader, one after the other; no exception of the reader ends it.

    It keeps the reader alive only while items wait for it. The threads of several `RLM`s that share
    a reader never call it at the same time.

    Args:
        reader: The reader.
        deliver: Hands an item to the reader; refers to no reader itself.
        limit: How many items may wait; further ones are dropped.
    """

    def __init__(self, reader: R, deliver: Callable[[R, T], object], limit: int) -> None:
        self.key = id(reader)
        self._name = type(reader).__name__
        self._deliver = deliver
        self._limit = limit
        self._lock = ThisProcess.lock_of(reader)
        self._queue: SimpleQueue[tuple[R, T] | threading.Event | None] = SimpleQueue()
        self._undelivered: deque[None] = deque()
        self._gave_up = False
        self._reported: set[str] = set()
        self._thread = threading.Thread(
            target=self._run, name=f"rlm-reader-{self._name}", daemon=True
        )

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: The system allows no more threads, or the interpreter is ending.
        """
        self._thread.start()

    def put(self, reader: R, item: T) -> bool:
        """Queue an item and return True, or drop it and return False when too many wait."""
        if len(self._undelivered) < self._limit:
            self._undelivered.append(None)
            self._queue.put((reader, item))
            return True
        self._report(
            "slow",
            f"is too slow: {self._limit:,} events wait for it. Further events are dropped "
            "for this reader until it catches up; the run goes on",
        )
        return False

    def flush(self, deadline: float | None) -> bool:
        """Wait until everything queued so far is delivered; return whether it is.

        A deadline is a time of `time.monotonic`; None sets no limit.
        """
        if not self._undelivered:
            return True
        if self._is_here():
            return False  # A reader that flushes would wait for itself.
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(None if deadline is None else max(deadline - time.monotonic(), 0.0))

    def end(self) -> None:
        """End the thread after the items queued so far; waits for nothing and takes no lock."""
        self._queue.put(None)

    def close(self, deadline: float | None) -> bool:
        """Flush and end the thread; return whether everything was delivered.

        After the deadline, items that still wait are dropped.
        """
        delivered = self.flush(deadline)
        own = self._is_here()
        if not delivered:
            self._gave_up = True
            lost = max(len(self._undelivered) - 1, 0)  # The reader is busy with one of them.
            if not own:
                self._report("stuck", f"did not finish in time; {lost:,} events were not delivered")
        self.end()
        if not own:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.1)
            self._thread.join(left)
        return delivered

    def _is_here(self) -> bool:
        """Whether waiting for this thread would never end: it is ours, or waits for our reader."""
        return threading.current_thread() is self._thread or _delivering.key == self.key

    def _run(self) -> None:
        while self._step():
            pass  # Between two steps no local variable holds on to the reader.

    def _step(self) -> bool:
        """Do the next thing in the queue; return whether to go on."""
        item = self._queue.get()
        if isinstance(item, threading.Event):
            item.set()
        elif item is not None:
            if not self._gave_up:
                self._hand_over(*item)
            self._undelivered.popleft()
        return item is not None

    def _hand_over(self, reader: R, item: T) -> None:
        try:
            with self._lock:
                _delivering.key = self.key
                try:
                    self._deliver(reader, item)
                finally:
                    _delivering.key = None
        except BaseException as error:  # noqa: BLE001  (a reader never hurts a run)
            self._report(
                "raised",
                f"failed on a {item} event: {type(error).__name__}: {error}. "
                "It still gets the further events; this warning comes once",
                error,
            )

    def _report(self, what: str, text: str, error: BaseException | None = None) -> None:
        if what in self._reported:
            return
        self._reported.add(what)
        _log.warning("The reader %s %s.", self._name, text, exc_info=error)


class ThisProcess:
    """What a forked child replaces.

    Attributes:
        forks: How many forks lie between this process and the first one.
        locks: A lock for each reader that has a thread. By id, because a reader need be neither
            hashable nor weakly referable. If another object gets the id of a deleted reader, the
            two share a lock for a while, which does no harm.
    """

    forks: ClassVar[int] = 0
    locks: ClassVar[weakref.WeakValueDictionary[int, Any]] = weakref.WeakValueDictionary()

    @classmethod
    def lock_of(cls, reader: object) -> Any:
        """Return the reader's lock; it exists while a thread refers to it."""
        return cls.locks.setdefault(id(reader), threading.Lock())

    @classmethod
    def forked(cls) -> None:
        """Forget the parent's locks: threads that this process does not have may hold them."""
        cls.forks += 1
        cls.locks = weakref.WeakValueDictionary()


after_fork_in_child(ThisProcess.forked)
