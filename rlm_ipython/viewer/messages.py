"""Events as they travel to the front end: JSON with long bodies cut short, and marked so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm.trajectory.codec import event_to_dict
from rlm.trajectory.json_text import json_bytes

if TYPE_CHECKING:
    from rlm.events import Event

BODY = 8192
"""Characters of a field that travel with its event."""

BRIEF = 400
"""The same where many events wait: bodies are then asked for one by one."""

WHOLE = 2_000_000
"""Characters of a field that are sent when they are asked for."""

# A node's own events repeat these, and the front end has them from the first.
_KNOWN = {"sub_call_finished": ("kind", "model", "parent_id")}
_CONTEXT = ("type", "length", "description", "preview")


def wire(event: Event, limit: int, *, asked_for: bool = False) -> str:
    """Return an event as one line of JSON.

    A field that is longer than `limit` is cut, and `cut` says how long it is.

    Args:
        event: Any event.
        limit: Characters of a field, counted over all strings in it.
        asked_for: Whether this is all that will ever be sent of it.
    """
    data = event_to_dict(event)
    for name in ("run_id", *_KNOWN.get(event.type, ())):
        data.pop(name, None)
    if event.type == "run_started":
        data["context"] = {key: data["context"].get(key) for key in _CONTEXT}
    cut = {}
    for name, value in data.items():
        if isinstance(value, str | list | dict):
            budget = _FieldBudget(limit)
            data[name] = budget.fit(value)
            if budget.size > limit:
                cut[name] = budget.size
    if cut:
        data["cut"] = cut
        data["whole"] = asked_for
    return json_bytes(data, finite=True).decode()


@dataclass(slots=True)
class _FieldBudget:
    """How many characters still fit.

    Attributes:
        left: Those.
        size: How many there would be.
    """

    left: int
    size: int = 0

    def fit(self, value: Any) -> Any:
        """Return a JSON value with its strings cut, and what does not fit at all left out."""
        if isinstance(value, str):
            self.size += len(value)
            part = value[: self.left]
            self.left -= len(part)
            return part
        if isinstance(value, dict):
            return {key[:200]: self._item(item) for key, item in value.items() if self._takes(item)}
        if isinstance(value, list | tuple):
            return [self._item(item) for item in value if self._takes(item)]
        return value

    def _takes(self, item: Any) -> bool:
        if self.left > 0:
            return True
        self.size += _length(item)
        return False

    def _item(self, item: Any) -> Any:
        # Numbers and brackets take up room too: a list of a million zeros is no short body.
        self.left = max(0, self.left - 2)
        self.size += 2
        return self.fit(item)


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value) + 2
    if isinstance(value, dict):
        return 2 + sum(map(_length, value.values()))
    if isinstance(value, list | tuple):
        return 2 + sum(map(_length, value))
    return 2
