"""Who is told of a run's events: the user's readers, and those that the arguments ask for."""

from __future__ import annotations

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


def delivery_to(
    readers: tuple[Any, ...], callbacks: dict[str, Any], *, verbose: bool
) -> Delivery | None:
    """Return what brings events to the readers; None when there is none."""
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise ArgumentError(f"{name} must be callable, not {type(callback).__name__}.")
    owned: list[Any] = []
    if any(callbacks.values()):
        from rlm.logger.callbacks import CallbackReader  # noqa: PLC0415 - only when asked for

        owned.append(CallbackReader(**callbacks))
    if verbose:
        from rlm.logger.console import ConsoleReader  # noqa: PLC0415 - imports rich

        owned.append(ConsoleReader())
    if not readers and not owned:
        return None
    from rlm.logger.delivery import Delivery  # noqa: PLC0415 - only for readers

    return Delivery(readers, owned=owned)
