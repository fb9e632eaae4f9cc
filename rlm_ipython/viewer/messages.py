"""Encodes events for the front end: JSON in which long fields are cut, and marked as cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm.trajectory.codec import event_to_dict
from rlm.trajectory.json_text import json_bytes

if TYPE_CHECKING:
    from rlm.events import Event

BODY = 8192
"""The most characters of a field that are sent with its event."""

BRIEF = 400
"""The most when many events wait: the front end then asks for bodies one by one."""

WHOLE = 2_000_000
"""The most characters of a field that are sent when the front end asks for it."""

# These repeat what the node's first event said.
_KNOWN = {"sub_call_finished": ("kind", "model", "parent_id")}
_CONTEXT = ("type", "length", "description", "preview")


def encode_event(event: Event, limit: int, *, asked_for: bool = False) -> str:
    """Return an event as one line of JSON.

    A field that is longer than `limit` is cut, and `cut` holds its full length.

    Args:
        event: Any event.
        limit: The most characters of a field, counted over all strings in it.
        asked_for: Whether the front end asked for it, so that no more of it will be sent.
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
    """How many characters of a field still fit (`left`), and how many it has (`size`)."""

    left: int
    size: int = 0

    def fit(self, value: Any) -> Any:
        """Return a JSON value with its strings cut, and without the items that do not fit."""
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
        # Numbers and brackets count too: a list of a million zeros is not short.
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
