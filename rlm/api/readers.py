"""The readers of an `RLM`'s events: the user's, the callbacks, and the verbose console."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from rlm.core.loop import engine_loop, on_engine_thread
from rlm.core.recorder import Recorder
from rlm.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.events import Event
    from rlm.logger.delivery import Delivery
    from rlm.logger.reader_thread import ReaderThread

CALLBACKS = (
    "on_subcall_start",
    "on_subcall_complete",
    "on_iteration_start",
    "on_iteration_complete",
)
"""The arguments of `RLM` that are callbacks."""

_FLUSH_SECONDS = 2.0
"""The longest time that a result waits for the readers to have all its events."""


def checked_readers(logger: Any) -> tuple[Any, ...]:
    """Return the readers in `logger`: none, one, or a list of them.

    Raises:
        ArgumentError: One of them is not a reader.
    """
    readers = () if logger is None else logger if isinstance(logger, list | tuple) else (logger,)
    for reader in readers:
        if not callable(getattr(reader, "on_event", None)):
            raise ArgumentError(
                f"logger must be a reader with on_event(event), such as RLMLogger(), or a list of "
                f"them, not {type(reader).__name__}."
            )
    return tuple(readers)


class ReaderSet:
    """The readers of one `RLM`, and the delivery to them; after a close or a fork it is a new one.

    Only the `RLM` may refer to it: a callback is often a method of an object that has the `RLM`,
    and another reference would keep both alive.

    Attributes:
        readers: The user's readers.
        end_threads: Ends the delivery's threads without waiting; it refers to no idle reader.
    """

    def __init__(self, *, logger: Any, verbose: bool, **callbacks: Any) -> None:
        """Keep the arguments of `RLM`; nothing is started or imported yet.

        Raises:
            ArgumentError: `logger` is not a reader.
        """
        self.readers = checked_readers(logger)
        self._threads: list[list[ReaderThread[Any, Any]]] = []
        self.end_threads: Callable[[], None] = partial(_end_threads, self._threads)
        self._callbacks = callbacks
        self._verbose = verbose
        self._delivery: Delivery | None = None
        self._process = 0

    def recorder(self, *listeners: Callable[[Event], object]) -> Recorder:
        """Return the recorder of one tree, whose events go to the readers and the listeners."""
        delivery = self._current_delivery()
        if delivery is None:
            return Recorder(listeners)
        return Recorder((delivery.emit, *listeners), delivery.give_context)

    def _current_delivery(self) -> Delivery | None:
        """Return the delivery to the readers; None when there are no readers."""
        if not (self.readers or self._verbose or any(self._callbacks.values())):
            return None
        with engine_loop().lock:
            # A forked child has copies of our own readers, in any state: it makes new ones.
            if self._delivery is None or self._process != os.getpid():
                self._process = os.getpid()
                self._delivery = self._new_delivery()
            return self._delivery

    def flush(self) -> None:
        """Wait until the readers have had all events, but no longer than `_FLUSH_SECONDS`."""
        delivery = self._delivery
        if delivery is not None:
            delivery.flush(_FLUSH_SECONDS)

    def close(self) -> None:
        """Deliver the remaining events and end the threads; a later run starts new ones.

        The engine's thread must not wait: called there, it leaves the rest to the threads.
        """
        with engine_loop().lock:
            delivery, self._delivery = self._delivery, None
        if delivery is None:
            return
        if on_engine_thread():
            delivery.forget()
        else:
            delivery.close()

    def _new_delivery(self) -> Delivery:
        owned: list[Any] = []
        if any(self._callbacks.values()):
            from rlm.logger.callbacks import CallbackReader

            owned.append(CallbackReader(**self._callbacks))
        if self._verbose:
            from rlm.logger.console import ConsoleReader

            owned.append(ConsoleReader())
        from rlm.logger.delivery import Delivery

        delivery = Delivery(self.readers, owned=owned)
        self._threads[:] = [delivery.threads]
        return delivery


def _end_threads(of_deliveries: list[list[ReaderThread[Any, Any]]]) -> None:
    for threads in of_deliveries:
        if threads:
            from rlm.logger.delivery import end_threads

            end_threads(threads)
