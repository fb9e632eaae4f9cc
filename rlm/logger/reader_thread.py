"""One reader's queue and thread."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("rlm")


class ReaderThread:
    """Calls functions one after the other, those of one reader; nothing they raise ends it.

    It keeps the reader alive only through the calls that wait. Reader threads of several `RLM`s
    that share a reader never call it at the same time.
    """

    def __init__(self, reader: object, limit: int) -> None:
        """Prepare the thread.

        Args:
            reader: Whose thread it is.
            limit: How many calls may wait; further ones are dropped.
        """
        self.key = id(reader)
        self._name = type(reader).__name__
        self._limit = limit
        self._lock = _Locks.of(reader)
        self._queue: SimpleQueue[tuple[Callable[[], object], str] | threading.Event | None] = (
            SimpleQueue()
        )
        self._undelivered: deque[None] = deque()
        self._gave_up = False
        self._reported: set[str] = set()
        self._thread = threading.Thread(
            target=self._run, name=f"rlm-reader-{self._name}", daemon=True
        )

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: The system, or an interpreter that ends, allows no more threads.
        """
        self._thread.start()

    def put(self, call: Callable[[], object], what: str) -> bool:
        """Queue a call and return True, or drop it and return False when too many wait.

        Args:
            call: Hands something to the reader.
            what: What it hands over, for the report when the reader fails on it.
        """
        if len(self._undelivered) < self._limit:
            self._undelivered.append(None)
            self._queue.put((call, what))
            return True
        self._report(
            "slow",
            f"is too slow: {self._limit:,} events wait for it. Further events are dropped "
            "for this reader until it catches up; the run goes on",
        )
        return False

    def flush(self, deadline: float | None) -> bool:
        """Wait until every call queued so far is over; return whether it is.

        Args:
            deadline: When to stop waiting (`time.monotonic`); None for no limit.
        """
        if not self._undelivered:
            return True
        if threading.current_thread() is self._thread:
            return False  # A reader that flushes would wait for itself.
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(None if deadline is None else max(deadline - time.monotonic(), 0.0))

    def end(self) -> None:
        """End the thread after the calls queued so far; waits for nothing and takes no lock."""
        self._queue.put(None)

    def close(self, deadline: float | None) -> bool:
        """Flush and end the thread; return whether every call was made.

        Args:
            deadline: When to give up on a slow reader: what still waits for it is dropped.
        """
        delivered = self.flush(deadline)
        own = threading.current_thread() is self._thread
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
                self._call(*item)
            self._undelivered.popleft()
        return item is not None

    def _call(self, call: Callable[[], object], what: str) -> None:
        try:
            with self._lock:
                call()
        except BaseException as error:  # noqa: BLE001  (a reader never hurts a run)
            self._report(
                "raised",
                f"failed on a {what} event: {type(error).__name__}: {error}. "
                "It goes on receiving; this is said once",
                error,
            )

    def _report(self, what: str, text: str, error: BaseException | None = None) -> None:
        if what in self._reported:
            return
        self._reported.add(what)
        _log.warning("The reader %s %s.", self._name, text, exc_info=error)


class _Locks:
    """A lock for each reader that has a thread; a forked child begins with new ones.

    By id, because a reader need be neither hashable nor weakly referable. Should another object get
    the id of a reader that is gone, the two share a lock for a while, which does no harm.
    """

    locks: ClassVar[weakref.WeakValueDictionary[int, Any]] = weakref.WeakValueDictionary()

    @classmethod
    def of(cls, reader: object) -> Any:
        return cls.locks.setdefault(id(reader), threading.Lock())

    @classmethod
    def forget(cls) -> None:
        cls.locks = weakref.WeakValueDictionary()


os.register_at_fork(after_in_child=_Locks.forget)
