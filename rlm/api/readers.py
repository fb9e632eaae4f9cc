"""Who is told of a run's events: the user's readers, and those that the arguments ask for."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from rlm.errors import ArgumentError

if TYPE_CHECKING:
    from rlm.logger.delivery import Delivery


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
    """Whom one `RLM` tells, and what brings the events to them: made anew after a close or a fork.

    Nothing but the `RLM` holds on to it: a callback is often a method of an object that has
    the `RLM`, and whatever else held it would keep both alive.

    Attributes:
        readers: The user's own readers.
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
        self._callbacks = callbacks
        self._verbose = verbose
        self._delivery: Delivery | None = None
        self._process = 0

    def delivery(self) -> Delivery | None:
        """Return what brings events to them; None when there is nobody."""
        if not (self.readers or self._verbose or any(self._callbacks.values())):
            return None
        with _Making.lock:
            # In a forked child our own readers are copies of the parent's, caught at any moment.
            if self._delivery is None or self._process != os.getpid():
                self._process = os.getpid()
                self._delivery = self._new_delivery()
            return self._delivery

    def flush(self, timeout: float) -> None:
        """Wait until they have been told all, but no longer than `timeout` seconds."""
        delivery = self._delivery
        if delivery is not None:
            delivery.flush(timeout)

    def close(self) -> None:
        """Tell them what is left and end the threads; a later job makes new ones."""
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

        return Delivery(self.readers, owned=owned)


class _Making:
    """Lets one thread at a time make a delivery; a lock held across a fork is never given back."""

    lock = threading.RLock()

    @classmethod
    def forget(cls) -> None:
        cls.lock = threading.RLock()


os.register_at_fork(after_in_child=_Making.forget)
