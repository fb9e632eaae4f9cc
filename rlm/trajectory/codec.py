"""Converts events to JSON values and back; errors say what is wrong, and where."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from rlm.events import EVENT_TYPES, CallUsage, Event
from rlm_kernel.errors import RLMError
from rlm_kernel.protocol.nesting import too_deep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SCHEMA = 1
"""The number of the format; we read no other."""

MAX_LEVELS = 200
"""Levels of nested lists and objects in an event that we read: twice what a run may record."""

_EARLIEST, _LATEST = -6.2e10, 2.5e11
"""The range of seconds since the epoch that `datetime` can show: about the years 5 to 9892."""


class TrajectoryError(RLMError, ValueError):
    """A file or value is not a trajectory that we can read."""


def event_to_dict(event: Event) -> dict[str, Any]:
    """Return an event's `type` and fields as JSON values.

    The values inside are the event's own, not copies.

    Args:
        event: Any event.
    """
    data: dict[str, Any] = {"type": event.type}
    for name in _CODECS[type(event)].names:
        value = getattr(event, name)
        if isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, CallUsage):
            value = {name: getattr(value, name) for name in _USAGE}
        data[name] = value
    return data


def event_from_dict(data: object) -> Event:
    """Read what `event_to_dict` wrote.

    Args:
        data: The dictionary; anything may be in it.

    Raises:
        TrajectoryError: It is no event: the type is unknown, or a field is missing, unknown or
            of the wrong type.
    """
    if not isinstance(data, dict):
        raise TrajectoryError(f"An event is an object, not {_name(data)}.")
    kind = data.get("type")
    cls = EVENT_TYPES.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise TrajectoryError(f"Unknown event type {kind!r}; known: {', '.join(EVENT_TYPES)}.")
    if too_deep(data, MAX_LEVELS):
        raise TrajectoryError(f"A {kind} event is nested more than {MAX_LEVELS} levels deep.")
    codec = _CODECS[cls]
    given = data.keys() - {"type"}
    if missing := sorted(codec.required - given):
        raise TrajectoryError(f"A {kind} event lacks {', '.join(missing)}.")
    if unknown := sorted(map(str, given - codec.names.keys())):
        raise TrajectoryError(
            f"A {kind} event has unknown fields: {', '.join(unknown)} "
            f"(known: {', '.join(codec.names)})."
        )
    values = {}
    for name in given:
        try:
            values[name] = codec.names[name](data[name])
        except TrajectoryError as error:
            raise TrajectoryError(f"In a {kind} event, {name}: {error}") from None
    return cls(**values)


def events_to_dict(events: Iterable[Event]) -> dict[str, Any]:
    """Return `{"schema": 1, "events": [...]}`."""
    return {"schema": SCHEMA, "events": [event_to_dict(event) for event in events]}


def events_from_dict(data: object) -> list[Event]:
    """Read what `events_to_dict` wrote; an error gives the number of the wrong event."""
    if not isinstance(data, dict) or "events" not in data:
        raise TrajectoryError(f'A trajectory is {{"schema": {SCHEMA}, "events": [...]}}.')
    schema = data.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        raise other_schema("This trajectory", schema, SCHEMA)
    if not isinstance(data["events"], list):
        raise TrajectoryError(f"A trajectory's events are a list, not {_name(data['events'])}.")
    events = []
    for number, entry in enumerate(data["events"]):
        try:
            events.append(event_from_dict(entry))
        except TrajectoryError as error:
            raise TrajectoryError(f"Event {number} of the trajectory: {error}") from None
    return events


def other_schema(what: str, found: object, known: int) -> TrajectoryError:
    """Return the error for a file with another schema number: who wrote it, and what to do."""
    if not isinstance(found, int) or isinstance(found, bool):
        advice = "It was changed: a schema is a number."
    elif found > known:
        advice = "A newer version of rlm-kernel wrote it: upgrade."
    else:
        advice = "An older version of rlm-kernel wrote it, and can still read it."
    return TrajectoryError(
        f"{what} has schema {found!r:.40}; this version reads {known} only. {advice}"
    )


def required_fields(cls: type[Event]) -> frozenset[str]:
    """Return the fields that an event's dictionary must have."""
    return _CODECS[cls].required


@dataclass(frozen=True, slots=True)
class _Codec:
    """How to read an event class: a reader per field, and the fields without a default."""

    names: dict[str, Callable[[Any], Any]]
    required: frozenset[str]


def _name(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _reader(hint: Any) -> Callable[[Any], Any]:
    """Return a function that checks a JSON value against a type and returns the field's value."""
    origin, inside = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: value
    if origin is Literal:
        return _choice(inside)
    if origin in {Union, UnionType}:
        return _optional(_reader(next(h for h in inside if h is not NoneType)))
    if origin in {tuple, dict}:
        return _tuple(_reader(inside[0])) if origin is tuple else _dict(_reader(inside[1]))
    if hint is float:
        return _number
    return _usage if hint is CallUsage else _scalar(hint)


def measurable(value: float) -> bool:
    """Whether a number can be a time, a duration or an amount: finite and in range."""
    return _EARLIEST < value < _LATEST


def _number(value: Any) -> Any:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TrajectoryError(f"expected a number, not {value!r:.80}.")
    if not measurable(value):
        raise TrajectoryError(f"expected a time, a duration or an amount, not {value!r:.80}.")
    return value


def _scalar(wanted: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise TrajectoryError(f"expected a value of type {wanted.__name__}, not {value!r:.80}.")
        return value

    return read


def _choice(options: tuple[str, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in options:
            raise TrajectoryError(f"expected one of {', '.join(options)}, not {value!r:.80}.")
        return value

    return read


def _optional(inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else inner(value)


def _tuple(inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise TrajectoryError(f"expected a list, not {_name(value)}.")
        return tuple(map(inner, value))

    return read


def _dict(inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise TrajectoryError(f"expected an object, not {_name(value)}.")
        return {key: inner(item) for key, item in value.items()}

    return read


def _usage(value: Any) -> CallUsage:
    if not isinstance(value, dict) or value.keys() - _USAGE.keys():
        raise TrajectoryError(f"expected an object with {', '.join(_USAGE)}, not {value!r:.80}.")
    return CallUsage(**{key: _USAGE[key](item) for key, item in value.items()})


def _codec(cls: type[Event]) -> _Codec:
    hints = get_type_hints(cls)
    required = (
        f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING
    )
    return _Codec({f.name: _reader(hints[f.name]) for f in fields(cls)}, frozenset(required))


_USAGE = {name: _reader(hint) for name, hint in get_type_hints(CallUsage).items()}
_CODECS = {cls: _codec(cls) for cls in EVENT_TYPES.values()}
