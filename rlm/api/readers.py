"""The readers of an `RLM`'s events: the user's, and those that its arguments ask for."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from rlm.core.loop import on_engine_thread
from rlm.core.recorder import Recorder
from rlm.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.events import Event
    from rlm.logger.delivery import Delivery

CALLBACKS = (
    "on_subcall_start",
    "on_subcall_complete",
    "on_iteration_start",
    "on_iteration_complete",
)
"""The arguments of `RLM` that are callbacks."""


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
    """The readers of one `RLM`, and their delivery, which is made anew after a close or a fork.

    Only the `RLM` refers to it: a callback is often a method of an object that has the `RLM`, and
    any other reference would keep both alive.

    Attributes:
        readers: The user's readers.
    """

    def __init__(self, logger: Any, callbacks: dict[str, Any], *, verbose: bool) -> None:
        """Check the arguments of `RLM`; nothing is started or imported yet.

        Raises:
            ArgumentError: One of them has the wrong type.
        """
        self.readers = checked_readers(logger)
        for name, callback in callbacks.items():
            if callback is not None and not callable(callback):
                raise ArgumentError(f"{name} must be callable, not {type(callback).__name__}.")
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
        """Return what delivers events to them; None when there are no readers."""
        if not (self.readers or self._verbose or any(self._callbacks.values())):
            return None
        with _Making.lock:
            # In a forked child our own readers are copies of the parent's, caught at any moment.
            if self._delivery is None or self._process != os.getpid():
                self._process = os.getpid()
                self._delivery = self._new_delivery()
            return self._delivery

    def flush(self, timeout: float) -> None:
        """Wait until they have had all events, but no longer than `timeout` seconds."""
        delivery = self._delivery
        if delivery is not None:
            delivery.flush(timeout)

    def close(self) -> None:
        """Deliver what is left and end the threads; a later run starts new ones.

        On the engine's thread, which must not wait, the delivery does so by itself.
        """
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

        return Delivery(self.readers, owned=owned)


class _Making:
    """Lets one thread at a time make a delivery; a lock held across a fork is never released."""

    lock = threading.RLock()

    @classmethod
    def forget(cls) -> None:
        cls.lock = threading.RLock()


os.register_at_fork(after_in_child=_Making.forget)
