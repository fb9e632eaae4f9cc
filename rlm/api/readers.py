"""The readers of an `RLM`'s events: the user's own, and those that its arguments ask for."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from rlm.errors import ArgumentError

if TYPE_CHECKING:
    from rlm.logger.delivery import Delivery
    from rlm.logger.reader_thread import ReaderThread


def checked_readers(logger: Any) -> tuple[Any, ...]:
    """Return the readers that `logger` names: none, one, or a list of them.

    Raises:
        ArgumentError: One of them is no reader.
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
    """The readers of one `RLM`, and the delivery to them: a new one after a close or a fork.

    Only the `RLM` refers to it: a callback is often a method of an object that has the `RLM`, so
    anything else that kept it would keep both alive.

    Attributes:
        readers: The user's own readers.
        threads: The threads that the delivery uses now; they refer to no reader while idle.
    """

    def __init__(self, logger: Any, callbacks: dict[str, Any], *, verbose: bool) -> None:
        """Check what the user gave; nothing is started or imported yet.

        Args:
            logger: As for `RLM`.
            callbacks: As for `RLM`, by name.
            verbose: As for `RLM`.

        Raises:
            ArgumentError: One of them is of the wrong type.
        """
        self.readers = checked_readers(logger)
        for name, callback in callbacks.items():
            if callback is not None and not callable(callback):
                raise ArgumentError(f"{name} must be callable, not {type(callback).__name__}.")
        self.threads: list[ReaderThread[Any, Any]] = []
        self._callbacks = callbacks
        self._verbose = verbose
        self._delivery: Delivery | None = None
        self._process = 0

    def delivery(self) -> Delivery | None:
        """Return the delivery to the readers; None when there are none."""
        if not (self.readers or self._verbose or any(self._callbacks.values())):
            return None
        with _Making.lock:
            # A forked child has copies of our own readers, in any state: it makes new ones.
            if self._delivery is None or self._process != os.getpid():
                self._process = os.getpid()
                self._delivery = self._new_delivery()
            return self._delivery

    def flush(self, timeout: float) -> None:
        """Wait until they have received everything so far, for at most `timeout` seconds."""
        delivery = self._delivery
        if delivery is not None:
            delivery.flush(timeout)

    def close(self) -> None:
        """Deliver what is left and end the threads; a later job makes new ones."""
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            delivery.close()

    def forget(self) -> None:
        """Close without waiting."""
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            delivery.forget()

    def _new_delivery(self) -> Delivery:
        owned: list[Any] = []
        if any(self._callbacks.values()):
            from rlm.logger.callbacks import CallbackReader

            owned.append(CallbackReader(**self._callbacks))
        if self._verbose:
            from rlm.logger.console import ConsoleReader

            owned.append(ConsoleReader())
        from rlm.logger.delivery import Delivery

        return Delivery(self.readers, owned=owned, threads=self.threads)


class _Making:
    """Lets one thread at a time make a delivery; a lock held across a fork is never given back."""

    # Re-entrant: a user's `__del__` may use an `RLM` while this thread allocates under the lock.
    lock = threading.RLock()

    @classmethod
    def forget(cls) -> None:
        cls.lock = threading.RLock()


os.register_at_fork(after_in_child=_Making.forget)
