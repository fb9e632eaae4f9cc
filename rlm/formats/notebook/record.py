"""The record of a run in its notebook's metadata: JSON strings, one whole event each.

No program changes the inside of a string, as some change numbers and objects: `ruff format`
rewrites floats, collaboration turns an integer beyond 2**53 into ``{}``, and a browser loses a key
named ``__proto__``. The strings are in groups, because nbdime compares each item of a list with
each item of the other list: with 10,000 strings in one list that takes a minute.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from rlm.trajectory import TrajectoryError, event_from_dict, event_to_dict
from rlm.trajectory.json_text import json_bytes

if TYPE_CHECKING:
    from rlm.events import Event

NAMESPACE = "rlm"
"""Our key in the metadata of a notebook and its cells."""

SCHEMA = 2
"""The number of the format that we write, and the only one that we read."""

GROUP = 100
"""How many events one list has."""


class RecordWriter:
    """Collects the events of a run as lines of the notebook's file."""

    def __init__(self) -> None:
        self._groups: list[bytes] = []
        self._open: list[bytes] = []
        self._count = 0
        self._hash = hashlib.sha256()

    def add(self, event: Event) -> None:
        """Append one event."""
        text = _event_text(event)
        _add_to(self._hash, text)
        self._count += 1
        self._open.append(json.dumps(text, ensure_ascii=False).encode())
        if len(self._open) == GROUP:
            self._groups.append(_group(self._open))
            self._open = []

    def pieces(self) -> list[bytes]:
        """Return the record's entries of the metadata as pieces of the notebook's file."""
        count, digest = str(self._count), self._hash.hexdigest()
        head = f'   "count": "{count}",\n   "sha256": "{digest}",\n   "events": ['.encode()
        groups = [*self._groups, _group(self._open)] if self._open else self._groups
        return [head, b",".join(groups), b"]"]


def read_record(metadata: dict[str, Any]) -> list[Event]:
    """Check the count and the hash of a record, and return its events.

    Raises:
        TrajectoryError: The record is missing, incomplete or changed, or an event is none.
    """
    texts = _texts(metadata.get("events"))
    count, digest = metadata.get("count"), hashlib.sha256()
    for text in texts:
        _add_to(digest, text)
    if count != str(len(texts)):
        raise TrajectoryError(
            f"The record has {len(texts)} events and should have {count!r:.40}: nbmerge, for one, "
            "mixes the records of two runs without a conflict; take the notebook from before that."
        )
    if metadata.get("sha256") != digest.hexdigest():
        raise TrajectoryError(
            "The record's hash is wrong, so its events were changed: nbmerge, for one, mixes the "
            "records of two runs without a conflict; take the notebook from before that."
        )
    return [_event(text, number) for number, text in enumerate(texts)]


def _group(texts: list[bytes]) -> bytes:
    """Return one of the lists of strings; each event has a line of the file."""
    return b"[\n" + b",\n".join(texts) + b"]"


def _texts(groups: Any) -> list[str]:
    if not isinstance(groups, list) or not all(isinstance(group, list) for group in groups):
        raise TrajectoryError("The record was changed: its events are no lists of strings.")
    texts = [text for group in groups for text in group]
    if not all(isinstance(text, str) for text in texts):
        raise TrajectoryError("The record was changed: not every event is a string.")
    return texts


def _event(text: str, number: int) -> Event:
    try:
        return event_from_dict(json.loads(text))
    except TrajectoryError as error:
        raise TrajectoryError(f"Event {number} of the record: {error}") from None
    except RecursionError:
        raise TrajectoryError(f"Event {number} of the record is nested too deeply.") from None
    except ValueError as error:
        raise TrajectoryError(f"Event {number} of the record is not JSON: {error}.") from None


def _add_to(digest: Any, text: str) -> None:
    """Add one event to the hash over all, and a newline, which no event's JSON contains."""
    digest.update(text.encode("utf-8", "surrogatepass"))
    digest.update(b"\n")


def _event_text(event: Event) -> str:
    """Return an event as JSON; a value that JSON cannot hold becomes its `repr`."""
    data = event_to_dict(event)
    try:
        return json_bytes(data, default=repr).decode()
    except TypeError:  # A key that is no text, such as a tuple.
        return json_bytes(_with_text_keys(data), default=repr).decode()


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_text_keys(item) for item in value]
    return value
