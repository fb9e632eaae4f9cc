"""Limits the batches per second: Jupyter Server drops messages of a kernel that sends many."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL = 0.1
"""Seconds from one batch to the next."""


class BatchSender:
    """Calls `send` with each `batch()` until that is None, on a thread that then ends.

    `interval` is the seconds from one batch to the next.
    """

    def __init__(
        self,
        batch: Callable[[], str | None],
        send: Callable[[str], None],
        interval: float = INTERVAL,
    ) -> None:
        self._batch = batch
        self._send = send
        self._interval = interval
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._last = -interval

    def wake(self) -> None:
        """Start sending, if there is anything to send."""
        with self._lock:
            if self._thread is not None or self._closed.is_set():
                return
            thread = threading.Thread(target=self._run, name="rlm-viewer", daemon=True)
            # When the interpreter exits no thread starts any more, and nobody is watching.
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def close(self) -> None:
        """Stop sending."""
        self._closed.set()
        with self._lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)

    def _run(self) -> None:
        try:
            while self._send_next():
                pass
        except BaseException:
            # Whatever went wrong, the next event starts another thread.
            with self._lock:
                self._thread = None
            raise

    def _send_next(self) -> bool:
        self._closed.wait(max(0.0, self._last + self._interval - time.monotonic()))
        with self._lock:
            batch = None if self._closed.is_set() else self._batch()
            if batch is None:
                self._thread = None
                return False
            self._last = time.monotonic()
        self._send(batch)
        return True
