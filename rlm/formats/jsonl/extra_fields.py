"""What a log's line holds and events cannot, kept as changes to the line written from the events.

Reading a log makes events of its lines, and saving makes lines of the events. Where the two differ
(a field of a newer writer, a time of another zone) a note of the turn keeps the changes, so that
saving gives the same log again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rlm.events import Note


def changes(given: Any, wanted: Any, at: tuple[str | int, ...] = ()) -> Iterator[dict[str, Any]]:
    """Yield the changes that turn one JSON value into another; `at` is their path in the line.

    `{"at": [...], "value": ...}` sets a value; `{"at": [...], "keys": [...]}` keeps these keys of
    an object, in this order.
    """
    if isinstance(given, dict) and isinstance(wanted, dict):
        for key, value in wanted.items():
            if key in given:
                yield from changes(given[key], value, (*at, key))
            else:
                yield {"at": [*at, key], "value": value}
        order = [*given, *(key for key in wanted if key not in given)]
        if order != [*wanted]:
            yield {"at": [*at], "keys": [*wanted]}
    elif isinstance(given, list) and isinstance(wanted, list) and len(given) == len(wanted):
        for number, (one, other) in enumerate(zip(given, wanted, strict=True)):
            yield from changes(one, other, (*at, number))
    elif type(given) is not type(wanted) or given != wanted:
        yield {"at": [*at], "value": wanted}


def changed(line: dict[str, Any], notes: Iterable[Note]) -> dict[str, Any]:
    """Return a line as it was in the log that the events were read from."""
    for note in notes:
        if note.kind == "log":
            for change in note.data.get("changes", ()):
                line = _apply(line, change["at"], change)
    return line


def _apply(value: Any, at: list[str | int], change: dict[str, Any]) -> Any:
    if at:
        copy = value.copy()
        step, *rest = at
        copy[step] = _apply(copy.get(step) if isinstance(copy, dict) else copy[step], rest, change)
        return copy
    if "keys" in change:
        return {key: value[key] for key in change["keys"]}
    return change["value"]
