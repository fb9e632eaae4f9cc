"""An event as a line of JSON in a cell's metadata; what the notebook says elsewhere is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rlm.events import CellFinished, CellOutput, CellStarted, ModelReply, TurnStarted
from rlm.formats.notebook.values import Writer, is_plain
from rlm.trajectory import event_to_dict

if TYPE_CHECKING:
    from rlm.events import Event
    from rlm.formats.notebook.outputs import Shown
    from rlm.formats.notebook.values import Place

_encode = json.JSONEncoder(ensure_ascii=False).encode


class EventWriter:
    """Turns the events of one tree into text, in their order."""

    def __init__(self) -> None:
        self._values = Writer()
        self._replies: dict[str, tuple[str, Place]] = {}
        self._said: dict[str, list[str]] = {}

    def text(self, event: Event, number: int, outputs: Shown | None) -> str:
        """Return one event's line.

        Args:
            event: The next one.
            number: Its number.
            outputs: What its code cell shows; None when it has no such cell.
        """
        data = event_to_dict(event)
        special = self._special(event, data, number, outputs)
        line: dict[str, Any] = {"n": number}
        for name, value in data.items():
            if name in special:
                line[name] = special[name]
            elif is_plain(value):
                line[name] = value
            else:
                line[name] = self._values.value(value, (number, name))
        return _encode(line)

    def _special(
        self, event: Event, data: dict[str, Any], number: int, outputs: Shown | None
    ) -> dict[str, Any]:
        """Return the fields that say what stands elsewhere already."""
        if isinstance(event, CellOutput) and outputs is not None:
            where = outputs.add(event.output)
            if where is not None:
                return {"output": {"$output": where}}
            return {"output": self._without_images(event.output, outputs, (number, "output"))}
        if isinstance(event, CellStarted) and event.parent_id in self._replies:
            reply, place = self._replies[event.parent_id]
            code = self._values.text_within(event.code, reply, (number, "code"), place)
            return {"code": code}
        if isinstance(event, TurnStarted):
            said = self._said.pop(event.run_id, [])
            messages = self._values.value(data["messages"], (number, "messages"), parts=said)
            return {"messages": messages}
        if isinstance(event, ModelReply):
            self._replies[event.id] = (event.text, (number, "text"))
            self._said.setdefault(event.run_id, []).append(event.text)
        elif isinstance(event, CellFinished):
            self._said.setdefault(event.run_id, []).append(event.shown)
        return {}

    def _without_images(self, output: dict[str, Any], outputs: Shown, place: Place) -> Any:
        """Return an output of which the cell shows the images only."""
        images = outputs.images(output)
        if not images:
            return self._values.value(output, place)
        rest = {**output, "data": {**output["data"], **dict.fromkeys(images)}}
        line = self._values.value(rest, place)
        if "data" not in line or not images.keys() <= line["data"].keys():
            return self._values.value(output, place)
        line["data"] |= {mime: {"$output": where} for mime, where in images.items()}
        return line
