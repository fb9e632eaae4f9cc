"""Reads notebooks of format 1 (rlm-kernel 0.1), for `rlm convert` only and in this release only.

Format 1 kept each event in the metadata of its cell. A long text was written once; elsewhere an
object with one key referred to it: ``$same``, ``$part``, ``$join`` and ``$output`` refer to a text
or an output of the notebook, ``$escaped``, ``$number`` and ``$object`` spell what JSON or a browser
would change. A digest showed whether a cell's outputs were still those of the run.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rlm.events import CellFinished, CellOutput
from rlm.formats.notebook.notebook_file import our_metadata, parse_notebook
from rlm.formats.notebook.outputs import joined_lines
from rlm.trajectory import Trajectory, TrajectoryError, event_from_dict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rlm.events import Event

_MOST_JOINED = 1 << 28
"""How many characters the texts of a notebook may have together once they are put together."""

_NOT_FINITE = ("nan", "inf", "-inf")

_log = logging.getLogger("rlm")

Place = tuple[Any, ...]
"""Where a text is: an event's number, then the keys below it."""


def is_format1(content: bytes) -> bool:
    """Return whether a file is a run's notebook of format 1."""
    try:
        ours = our_metadata(parse_notebook(content))
    except TrajectoryError:
        return False
    schema = None if ours is None else ours.get("schema")
    return schema == 1 and not isinstance(schema, bool)


def load_format1(content: bytes, path: Path) -> Trajectory:
    """Return the trajectory of a format-1 notebook.

    A cell that was run again, or cleared, has the outputs that it shows now; a warning names it.

    Raises:
        TrajectoryError: Events are missing, there twice or unreadable, or outputs were changed by
            hand. The message names the cell.
    """
    notebook = parse_notebook(content)
    cells = [cell for cell in _cells(notebook) if cell.events is not None]
    total = (our_metadata(notebook) or {}).get("events")
    reader = _Reader(_lines(cells, total))
    events = list(reader.events())
    if reader.changed:
        positions = ", ".join(str(cell.position) for cell in cells if cell.has_changed)
        _log.warning(
            "%s: cells %s were run again or cleared since the run, and saved: their recorded "
            "outputs are gone, and what they show now is taken for them.",
            path,
            positions,
        )
    return Trajectory.from_events(events)


@dataclass(slots=True, eq=False)
class _Cell:
    """A cell that holds events, and what it shows now."""

    position: int
    events: Any
    outputs: list[Any]
    execution_count: Any
    has_changed: bool = False

    @property
    def name(self) -> str:
        return f"Cell {self.position}"


def _cells(notebook: dict[str, Any]) -> Iterator[_Cell]:
    for position, cell in enumerate(notebook["cells"], start=1):
        ours = our_metadata(cell) or {}
        outputs = cell.get("outputs")
        outputs = outputs if isinstance(outputs, list) else []
        found = _Cell(position, ours.get("events"), outputs, cell.get("execution_count"))
        if ours.get("outputs") is not None:
            found.has_changed = _digest(found) != ours["outputs"]
        yield found


def _digest(cell: _Cell) -> str:
    """Return what format 1 kept of a cell's outputs."""
    left_out = {"execution_count", "metadata"}
    try:
        kept = [
            {key: _plain(key, value) for key, value in output.items() if key not in left_out}
            for output in cell.outputs
        ]
        text = json.dumps(kept, sort_keys=True)
    except (AttributeError, TypeError, ValueError, RecursionError):
        raise TrajectoryError(f"{cell.name}: its outputs cannot be read.") from None
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(key: str, value: Any) -> Any:
    """Return a part of an output with its multi-line texts joined."""
    if key == "data" and isinstance(value, dict):
        return {mime: joined_lines(text) for mime, text in value.items()}
    return joined_lines(value) if key == "text" else value


def _lines(cells: list[_Cell], total: Any) -> list[tuple[dict[str, Any], _Cell]]:
    """Return the events' lines in order, each with its cell."""
    found: dict[int, tuple[dict[str, Any], _Cell]] = {}
    for cell in cells:
        if not isinstance(cell.events, list):
            raise TrajectoryError(f"{cell.name}: its events are no list.")
        for line in cell.events:
            number = line.get("n") if isinstance(line, dict) else None
            if type(number) is not int or number < 0:
                raise TrajectoryError(f"{cell.name}: an event without a number.")
            if number in found:
                raise TrajectoryError(
                    f"{cell.name}: event {number} is there twice, also in cell "
                    f"{found[number][1].position}. Was a cell copied?"
                )
            found[number] = (line, cell)
    if type(total) is not int or total < 0:
        raise TrajectoryError(f"The notebook does not say how many events it has: {total!r:.40}.")
    for number, (_, cell) in found.items():
        if number >= total:
            raise TrajectoryError(
                f"{cell.name}: event {number} is none of this run's {total}. Was the cell copied "
                "from another notebook?"
            )
    if len(found) < total:
        missing = next(number for number in range(total) if number not in found)
        before = found[missing - 1][1].name.lower() if missing else "the beginning"
        raise TrajectoryError(
            f"{total - len(found)} of {total} events are missing, the first of them after "
            f"{before}. Was a cell deleted?"
        )
    return [found[number] for number in range(total)]


class _Reader:
    """Turns the lines into events.

    Args:
        lines: In the order of the events, each with its cell.
    """

    def __init__(self, lines: list[tuple[dict[str, Any], _Cell]]) -> None:
        self._lines = lines
        self._cell: _Cell | None = None
        self._found: dict[Place, str] = {}
        self._joined = 0
        self.changed = any(cell.has_changed for _, cell in lines)

    def events(self) -> Iterator[Event]:
        """Yield the events; a changed cell's outputs are those that it shows now."""
        replaced: set[int] = set()
        for number, (line, cell) in enumerate(self._lines):
            self._cell = cell
            try:
                event = self._event(line)
            except TrajectoryError as error:
                raise TrajectoryError(f"{cell.name}: event {number}: {error}") from None
            except RecursionError:
                raise TrajectoryError(f"{cell.name}: event {number} never ends.") from None
            if cell.has_changed and isinstance(event, CellFinished):
                _check_run_again(cell, event)
            if not (cell.has_changed and isinstance(event, CellOutput)):
                yield event
            elif cell.position not in replaced:
                replaced.add(cell.position)
                yield from _outputs_now(cell, event)

    def _event(self, line: dict[str, Any]) -> Event:
        fields = {name: self._value(value) for name, value in line.items() if name != "n"}
        return event_from_dict(fields)

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((key, inner),) = value.items()
            if key.startswith("$"):
                return self._special(key, inner)
        return {key: self._value(item) for key, item in value.items()}

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
                    return _parsed(inner, str)
                case "$number":
                    return float(inner) if inner in _NOT_FINITE else _parsed(inner, int)
                case "$object":
                    return {self._text(name): self._value(item) for name, item in inner}
                case "$output":
                    assert self._cell is not None
                    return {} if self._cell.has_changed else _output(self._cell.outputs, inner)
        except (TypeError, ValueError, LookupError) as error:
            if isinstance(error, TrajectoryError):
                raise
            raise TrajectoryError(f"{key} cannot be read: {inner!r:.80}.") from None
        raise TrajectoryError(f"{key!r} is no form of a value that format 1 has.")

    def _find(self, place: Place) -> str:
        """Return the text at a place; each is put together of its parts once."""
        try:
            if place in self._found:
                return self._found[place]
            number, *keys = place
            if type(number) is not int or number < 0:
                raise ValueError(number)  # noqa: TRY301 - the message is below
            value: Any = self._lines[number][0]
            for key in keys:
                value = value[key]
        except (LookupError, TypeError, ValueError):
            raise TrajectoryError(f"It names a text that is not there: {place!r:.80}.") from None
        self._found[place] = text = self._text(value)
        return text

    def _text(self, value: Any) -> str:
        text = self._value(value)
        if not isinstance(text, str):
            raise TrajectoryError(f"Expected a text, not {value!r:.80}.")
        return text

    def _counted(self, text: str) -> str:
        self._joined += len(text)
        if self._joined > _MOST_JOINED:
            raise TrajectoryError(
                f"The notebook's texts come to more than {_MOST_JOINED:,} characters by repetition."
            )
        return text


def _parsed(text: Any, kind: type) -> Any:
    value = json.loads(text)
    if type(value) is not kind:
        raise TrajectoryError(f"Expected a {kind.__name__}, not {value!r:.80}.")
    return value


def _output(outputs: list[Any], where: Any) -> Any:
    """Return the output of an event as it was recorded, or an image of it.

    `where` is an index of the code cell's outputs, and then: of a result its execution count, of a
    stream's text its start and end, of an image its mime type.
    """
    index = where[0] if isinstance(where, list) and where else None
    if type(index) is not int or not 0 <= index < len(outputs):
        raise ValueError(where)
    if not isinstance(outputs[index], dict):
        raise ValueError(where)  # noqa: TRY004 - a value of a file, no argument
    output = dict(outputs[index])
    if isinstance(output.get("data"), dict):
        output["data"] = {mime: joined_lines(text) for mime, text in output["data"].items()}
    match where[1:]:
        case [str() as mime]:
            return output["data"][mime]
        case [count]:
            output["execution_count"] = count
        case [int() as start, int() as end]:
            output["text"] = str(joined_lines(output.get("text")))[start:end]
    return output


def _check_run_again(cell: _Cell, event: CellFinished) -> None:
    same_count = cell.execution_count == event.execution_count
    if same_count and cell.outputs and cell.execution_count is not None:
        raise TrajectoryError(
            f"{cell.name}: its outputs are not those of the run, and it was not run again: they "
            "were changed by hand."
        )


def _outputs_now(cell: _Cell, event: CellOutput) -> Iterator[CellOutput]:
    for index in range(len(cell.outputs)):
        try:
            output = _output(cell.outputs, [index])
        except ValueError:
            raise TrajectoryError(f"{cell.name}: its outputs cannot be read.") from None
        identity = f"{event.id}.{index}" if index else event.id
        yield replace(event, id=identity, output=output)
