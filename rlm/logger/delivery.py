"""Bringing events to readers without ever making a run wait for one."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rlm.events import Event

QUEUE_LIMIT = 100_000
"""How many events may wait for one reader; what comes beyond is dropped for that reader."""

_log = logging.getLogger("rlm")


class Reader(Protocol):
    """A consumer of events. It may have a `close()` too."""

    def on_event(self, event: Event) -> None:
        """Take one event; called in order, from one thread."""
        ...


class Delivery:
    """Hands each event to each reader, in order, on a thread of that reader's own.

    A reader that raises is reported once (logger `rlm`) and goes on receiving. A reader
    that is too slow loses events, which is reported once, and the run goes on. When
    several deliveries have the same reader, it is still called from one thread only.
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
        unique = {id(reader): reader for reader in (*readers, *owned)}
        self._lanes = [_Lane.of(reader, queue_limit) for reader in unique.values()]
        self._owned = {id(reader) for reader in owned}
        self._closed = False

    def emit(self, event: Event) -> None:
        """Queue an event for every reader; never waits, never raises, ignored once closed."""
        if not self._closed:
            for lane in self._lanes:
                lane.put(event)

    def flush(self, timeout: float | None = 10.0) -> bool:
        """Wait until everything emitted so far has been delivered.

        Args:
            timeout: How long to wait at most, in seconds; None for as long as it takes.

        Returns:
            Whether it all was.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        delivered = [lane.flush(deadline) for lane in self._lanes]
        return all(delivered)

    def close(self, timeout: float | None = 10.0) -> None:
        """Flush, close the readers that are owned, and end the threads; safe to call again.

        Args:
            timeout: How long to wait for slow readers, in seconds; None for as long as it takes.
        """
        if self._closed:
            return
        self._closed = True
        deadline = None if timeout is None else time.monotonic() + timeout
        for lane in self._lanes:
            lane.release(deadline, close_reader=id(lane.reader) in self._owned)


class _Lane:
    """One reader's queue and thread, shared by all deliveries that have the reader."""

    _lanes: dict[int, _Lane] = {}  # noqa: RUF012  (mypy knows it; guarded by _registry)
    _registry = threading.Lock()

    def __init__(self, reader: Reader, limit: int) -> None:
        self.reader = reader
        self._limit = limit
        self._users = 0
        self._changed = threading.Condition()
        self._waiting: deque[Event] = deque()
        self._accepted = 0
        self._done = 0
        self._flushing = 0
        self._thread: threading.Thread | None = None
        self._ended = False
        self._reported: set[str] = set()

    @classmethod
    def of(cls, reader: Reader, limit: int) -> _Lane:
        """Return the reader's lane, with one more user."""
        with cls._registry:
            lane = cls._lanes.get(id(reader))
            if lane is None:
                lane = cls._lanes[id(reader)] = cls(reader, limit)
            lane._users += 1
            return lane

    def put(self, event: Event) -> None:
        """Queue an event, or drop it when too many wait."""
        with self._changed:
            full = self._accepted - self._done >= self._limit
            if not full:
                self._accepted += 1
                self._waiting.append(event)
                if self._thread is None:
                    self._start()
                elif len(self._waiting) == 1:
                    self._changed.notify_all()
        if full:
            self._report(
                "slow",
                f"is too slow: {self._limit:,} events wait for it. Further events are dropped "
                "for this reader until it catches up; the run goes on",
            )

    def flush(self, deadline: float | None) -> bool:
        """Wait until all that was accepted up to now is delivered."""
        if threading.current_thread() is self._thread:
            return False  # a reader that flushes would wait for itself
        with self._changed:
            target = self._accepted
            self._flushing += 1
            try:
                while self._done < target:
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        return False
                    self._changed.wait(left)
            finally:
                self._flushing -= 1
        return True

    def release(self, deadline: float | None, *, close_reader: bool) -> None:
        """Give the lane up; the last user ends its thread."""
        delivered = self.flush(deadline)
        with self._registry:
            self._users -= 1
            last = self._users == 0
            if last:
                del self._lanes[id(self.reader)]
        if last:
            self._end(deadline, delivered=delivered)
        if close_reader and delivered:
            self._close_reader()

    def _start(self) -> None:
        name = f"rlm-reader-{type(self.reader).__name__}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _end(self, deadline: float | None, *, delivered: bool) -> None:
        with self._changed:
            self._ended = True
            lost = len(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
            thread = self._thread
        if not delivered and thread is not threading.current_thread():
            self._report("stuck", f"did not finish in time; {lost:,} events were not delivered")
        if thread is not None and thread is not threading.current_thread():
            thread.join(None if deadline is None else max(deadline - time.monotonic(), 0.1))

    def _run(self) -> None:
        while (event := self._next()) is not None:
            try:
                self.reader.on_event(event)
            except BaseException as error:  # noqa: BLE001  (a reader never hurts a run)
                self._report(
                    "raised",
                    f"failed on a {event.type} event: {type(error).__name__}: {error}. "
                    "It goes on receiving; this is said once",
                    error,
                )
            with self._changed:
                self._done += 1
                if self._flushing:
                    self._changed.notify_all()

    def _next(self) -> Event | None:
        """Wait for an event; None when the lane has ended."""
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None

    def _close_reader(self) -> None:
        close = getattr(self.reader, "close", None)
        if close is None:
            return
        try:
            close()
        except Exception as error:  # noqa: BLE001  (a reader never hurts a run)
            self._report("close", f"failed to close: {type(error).__name__}: {error}", error)

    def _report(self, what: str, text: str, error: BaseException | None = None) -> None:
        if what in self._reported:
            return
        self._reported.add(what)
        _log.warning("The reader %s %s.", type(self.reader).__name__, text, exc_info=error)
