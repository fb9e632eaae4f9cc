"""Events' values as JSON that survives every program that opens and saves a notebook.

A browser has no integers beyond 2**53, no NaN, and loses a key named `__proto__`; a server refuses
to save half a surrogate pair. What they would change is written as an object with one key that
begins with `$`. So is a long text that stands elsewhere in the notebook: prompts repeat replies
and outputs, and the log must not grow with the square of the turns.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from rlm.trajectory import TrajectoryError

LONG = 200
"""Characters from which on a text is written once and named elsewhere."""

_MOST_JOINED = 1 << 28
"""Characters that the texts of a notebook come to at most, whatever it says they are made of."""

_MOST_EXACT = 1 << 53
_KEYS_LOST = frozenset({"__proto__"})

Place = tuple[Any, ...]
"""Where a text stands: an event's number, then the keys below it."""


class Writer:
    """Turns values into portable JSON, and remembers where long texts stand."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}

    def value(self, value: Any, place: Place, parts: Sequence[str] = ()) -> Any:
        """Return a value in its portable form.

        Args:
            value: A JSON value; tuples are lists.
            place: Where it will stand.
            parts: Texts that probably stand in its texts, in this order.
        """
        kind = type(value)
        if kind is str:
            return self._text(value, place, parts)
        if kind is dict:
            return self._object(value, place, parts)
        if kind is list or kind is tuple:
            return [self.value(item, (*place, index), parts) for index, item in enumerate(value)]
        if kind is int or kind is float:
            return _number(value)
        if value is None or kind is bool:
            return value
        return self._foreign(value, place, parts)

    def text_within(self, text: str, whole: str, place: Place, whole_place: Place) -> Any:
        """Return a text in its portable form that probably is a part of another.

        Args:
            text: Any.
            whole: The other.
            place: Where it will stand.
            whole_place: Where the other stands.
        """
        start = whole.find(text) if text else -1
        if start < 0:
            return self._text(text, place, ())
        return {"$part": [list(whole_place), start, start + len(text)]}

    def _text(self, text: str, place: Place, parts: Sequence[str]) -> Any:
        if len(text) < LONG:
            return portable_text(text)
        known = self._places.setdefault(text, place)
        if known != place:  # Else it is this one, written again.
            return {"$same": list(known)}
        joined: list[Any] = []
        end = 0
        for part in parts:
            stands = self._places.get(part)
            start = text.find(part, end) if stands else -1
            if stands and start >= 0:
                joined += [portable_text(text[end:start]), {"$same": list(stands)}]
                end = start + len(part)
        return {"$join": [*joined, portable_text(text[end:])]} if joined else portable_text(text)

    def _foreign(self, value: Any, place: Place, parts: Sequence[str]) -> Any:
        """Return what stands for a value that JSON does not have: a log is no place to fail."""
        plain: Any
        for plain in (str, int, float, list, tuple):
            if isinstance(value, plain):
                return self.value(plain(value), place, parts)
        if isinstance(value, dict):
            return self._object(value, place, parts)
        return self._text(repr(value), place, parts)

    def _object(self, value: dict[str, Any], place: Place, parts: Sequence[str]) -> Any:
        if not all(type(key) is str for key in value):
            value = {str(key): item for key, item in value.items()}
        for key in value:
            if key.startswith("$") or key in _KEYS_LOST or _is_halved(key):
                pairs = [
                    [portable_text(key), self.value(item, (*place, "$object", index, 1), parts)]
                    for index, (key, item) in enumerate(value.items())
                ]
                return {"$object": pairs}
        return {
            key: item if is_plain(item) else self.value(item, (*place, key), parts)
            for key, item in value.items()
        }


def is_plain(value: Any) -> bool:
    """Whether a value is its own portable form, as most are: asked first, because it is quick.

    Args:
        value: A JSON value.
    """
    kind = type(value)
    if kind is str:
        return len(value) < LONG and value.isascii()
    if kind is float or kind is int:
        return bool(-_MOST_EXACT < value < _MOST_EXACT)
    return value is None or kind is bool


def portable_text(text: str) -> Any:
    """Return a text as JSON that every program can save: half a surrogate pair is spelled out.

    Args:
        text: Any.
    """
    return {"$escaped": json.dumps(text)} if _is_halved(text) else text


class Reader:
    """Turns portable JSON back into values.

    Args:
        find: Returns the text that stands at a place; raises `TrajectoryError` when none does.
        shown: Returns what an `$output` names.
    """

    def __init__(self, find: Callable[[Place], str], shown: Callable[[Any], Any]) -> None:
        self._find = find
        self._shown = shown
        self._joined = 0

    def value(self, value: Any) -> Any:
        """Return what a portable form stands for.

        Args:
            value: Parsed JSON.

        Raises:
            TrajectoryError: It is no such form.
        """
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((key, inner),) = value.items()
            if key.startswith("$"):
                return self._special(key, inner)
        return {key: self.value(item) for key, item in value.items()}

    def _special(self, key: str, inner: Any) -> Any:
        try:
            match key:
                case "$same":
                    return self._counted(self._find(tuple(inner)))
                case "$join":
                    return self._counted("".join(map(self._text, inner)))
                case "$part":
                    place, start, end = inner
                    return self._counted(self._find(tuple(place))[start:end])
                case "$escaped":
                    return self._parsed(inner, str)
                case "$number":
                    return float(inner) if inner in _NOT_FINITE else self._parsed(inner, int)
                case "$object":
                    return {self._text(name): self.value(item) for name, item in inner}
                case "$output":
                    return self._shown(inner)
        except (TypeError, ValueError, LookupError) as error:
            if isinstance(error, TrajectoryError):
                raise
            raise TrajectoryError(f"{key} cannot be read: {inner!r:.80}.") from None
        raise TrajectoryError(f"{key!r} is no form of a value that this version knows.")

    def _text(self, value: Any) -> str:
        text = self.value(value)
        if not isinstance(text, str):
            raise TrajectoryError(f"A text is made of texts, not of {value!r:.80}.")
        return text

    def _counted(self, text: str) -> str:
        self._joined += len(text)
        if self._joined > _MOST_JOINED:
            raise TrajectoryError(
                f"The notebook's texts come to more than {_MOST_JOINED:,} characters by repetition."
            )
        return text

    def _parsed(self, text: Any, kind: type) -> Any:
        value = json.loads(text)
        if type(value) is not kind:
            raise TrajectoryError(f"Expected a {kind.__name__}, not {value!r:.80}.")
        return value


_NOT_FINITE = ("nan", "inf", "-inf")


def _number(value: float) -> Any:
    if type(value) is int:
        return value if -_MOST_EXACT < value < _MOST_EXACT else {"$number": str(value)}
    return value if math.isfinite(value) else {"$number": str(value)}


def _is_halved(text: str) -> bool:
    """Whether a text holds half a surrogate pair, which UTF-8 cannot say."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
