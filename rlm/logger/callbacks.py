"""The reference's four callbacks, as one reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlm.events import (
    RunFinished,
    RunStarted,
    SubCallFinished,
    SubCallStarted,
    TurnFinished,
    TurnStarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.events import Event

_PREVIEW = 80


class CallbackReader:
    """Calls functions at the beginning and end of turns and children, at every depth.

    As in the reference, a *subcall* is a child run, which has a REPL, and not a plain LM call; its
    depth is the child's, and previews are 80 characters long.
    """

    def __init__(
        self,
        *,
        on_subcall_start: Callable[[int, str, str], Any] | None = None,
        on_subcall_complete: Callable[[int, str, float, str | None], Any] | None = None,
        on_iteration_start: Callable[[int, int], Any] | None = None,
        on_iteration_complete: Callable[[int, int, float], Any] | None = None,
    ) -> None:
        """Take the callbacks; their return values are ignored.

        Args:
            on_subcall_start: Called with (depth, model, prompt preview).
            on_subcall_complete: Called with (depth, model, seconds, error or None).
            on_iteration_start: Called with (depth, turn's number, from 1).
            on_iteration_complete: Called with (depth, turn's number, seconds).
        """
        self._on_subcall_start = on_subcall_start
        self._on_subcall_complete = on_subcall_complete
        self._on_iteration_start = on_iteration_start
        self._on_iteration_complete = on_iteration_complete
        self._depths: dict[str, int] = {}

    def on_event(self, event: Event) -> None:
        """Take one event.

        Args:
            event: Of any run.
        """
        depth = self._depths.get(event.run_id, 0)
        match event:
            case RunStarted():
                self._depths[event.run_id] = event.depth
            case RunFinished():
                self._depths.pop(event.run_id, None)
            case TurnStarted() if self._on_iteration_start:
                self._on_iteration_start(depth, event.number)
            case TurnFinished() if self._on_iteration_complete:
                self._on_iteration_complete(depth, event.number, event.duration)
            case SubCallStarted(kind="rlm") if self._on_subcall_start:
                preview = str(event.prompt)[:_PREVIEW]
                self._on_subcall_start(depth + 1, event.model, preview)
            case SubCallFinished(kind="rlm") if self._on_subcall_complete:
                self._on_subcall_complete(depth + 1, event.model, event.duration, event.error)
