"""A trajectory as Chrome trace events, for Perfetto (ui.perfetto.dev) and speedscope.

A run is a process of the trace. Its turns, model calls and cells nest, so they share one thread.
Sub-calls overlap, so each gets the first lane (a thread) that is free. A counter shows how many
sub-calls were running.

The format: "Trace Event Format", Google, 2016. speedscope reads only its complete events (``X``).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from rlm.render.cell_text import text_of
from rlm.render.outline import FOR_MACHINES, first_words
from rlm.render.safe_text import one_line
from rlm.trajectory.json_text import json_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rlm.events import CallUsage, Note
    from rlm.trajectory import CellNode, RunNode, SubCallNode, Trajectory, TurnNode

TEXT_LIMIT = 500
"""How many characters of a prompt, reply or block of code a trace holds."""

_MAIN = 0
"""The thread of turns, model calls and cells."""


def trace_content(trajectory: Trajectory, _path: Path) -> bytes:
    """Return a trajectory as the content of a ``.trace.json`` file."""
    return json_bytes(chrome_trace(trajectory), finite=True) + b"\n"


def chrome_trace(trajectory: Trajectory) -> dict[str, Any]:
    """Return a trajectory in the trace format's object form.

    Times are microseconds since the run began. A node that is not finished ends with the last
    event and is marked ``unfinished``.
    """
    root = trajectory.root
    events: list[dict[str, Any]] = []
    data: dict[str, Any] = {"traceEvents": events, "displayTimeUnit": "ms"}
    if root is None:
        return data
    last = max(event.time for event in trajectory.events)
    for pid, run in enumerate(root.walk(), 1):
        events += _RunTrace(run, pid=pid, origin=root.started.time, last=last).events()
    data["otherData"] = {
        "model": root.started.model,
        "question": one_line(root.started.root_prompt or "", TEXT_LIMIT),
        "began": root.started.time,
    }
    return data


class _RunTrace:
    """Writes the events of one run, without its children."""

    def __init__(self, run: RunNode, *, pid: int, origin: float, last: float) -> None:
        self._run = run
        self._pid = pid
        self._origin = origin
        self._last = last

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events; readers sort them by time."""
        run = self._run
        name = "run" if run.started.parent_id is None else "child"
        label = f"{name} {one_line(run.started.root_prompt or run.started.model, 60)}"
        yield self._about("process_name", _MAIN, name=label)
        yield self._about("process_sort_index", _MAIN, sort_index=self._pid)
        yield self._about("thread_name", _MAIN, name="turns and cells")
        finished = run.finished
        arguments = {
            "model": run.started.model,
            "status": "running" if finished is None else finished.status,
            "answer": one_line((finished and finished.answer) or "", TEXT_LIMIT),
            "error": finished and finished.error,
        }
        end = finished.time if finished else None
        yield self._complete(label, "run", run.started.time, end, arguments)
        for turn in run.turns:
            yield from self._turn(turn)
        yield from self._notes(run.notes)
        yield from self._lanes([*run.sub_calls])

    def _turn(self, turn: TurnNode) -> Iterator[dict[str, Any]]:
        number = turn.started.number
        begin = turn.started.time
        end = turn.finished.time if turn.finished else None
        yield self._complete(f"turn {number}", "turn", begin, end, {"number": number})
        since = begin
        for reply in turn.replies:
            arguments = {
                "model": reply.model,
                "purpose": reply.purpose,
                "reply": one_line(reply.text, TEXT_LIMIT),
                "finish_reason": reply.finish_reason,
                **_usage(reply.usage),
            }
            # The event has the time of the reply; the call began earlier.
            start = max(reply.time - reply.duration, since)
            yield self._complete(f"chat {reply.model}", "model", start, reply.time, arguments)
            since = reply.time
        for cell in turn.cells:
            yield self._cell(cell)
            yield from self._notes(cell.notes)
        yield from self._notes(turn.notes)

    def _cell(self, cell: CellNode) -> dict[str, Any]:
        finished = cell.finished
        name = first_words(cell.started.code) or "cell"
        arguments = {
            "code": cell.started.code[:TEXT_LIMIT],
            "status": "running" if finished is None else finished.status,
            "sub_calls": len(cell.sub_calls),
        }
        end = finished.time if finished else None
        return self._complete(f"cell {name}", "cell", cell.started.time, end, arguments)

    def _lanes(self, calls: list[SubCallNode]) -> Iterator[dict[str, Any]]:
        """Yield the sub-calls, overlapping ones in different lanes, then the counter."""
        free: list[int] = []
        busy: list[tuple[float, int]] = []
        lanes = 0
        changes: list[tuple[float, int]] = []
        for call in sorted(calls, key=lambda call: call.started.time):
            begin = call.started.time
            end = max(call.finished.time if call.finished else self._last, begin)
            while busy and busy[0][0] <= begin:
                heapq.heappush(free, heapq.heappop(busy)[1])
            if free:
                lane = heapq.heappop(free)
            else:
                lanes += 1
                lane = lanes
                yield self._about("thread_name", lane, name=f"sub-calls, lane {lane}")
                yield self._about("thread_sort_index", lane, sort_index=lane)
            heapq.heappush(busy, (end, lane))
            yield self._call(call, lane, end)
            changes += [(begin, 1), (end, -1)]
        running = 0
        for time, change in sorted(changes):
            running += change
            yield {
                "ph": "C",
                "name": "running sub-calls",
                "pid": self._pid,
                "tid": _MAIN,
                "ts": self._at(time),
                "args": {"sub-calls": running},
            }

    def _call(self, call: SubCallNode, lane: int, end: float) -> dict[str, Any]:
        finished = call.finished
        prompt, response = call.started.prompt, finished and finished.response
        arguments = {
            "prompt": one_line(text_of(prompt), TEXT_LIMIT),
            "response": one_line(text_of(response), TEXT_LIMIT),
            "error": finished and finished.error,
            **(_usage(finished.usage) if finished else {"unfinished": True}),
        }
        name = call.name if call.started.kind == "tool" else f"{call.name} {call.started.model}"
        category = "error" if finished and finished.error else call.started.kind
        return self._complete(name, category, call.started.time, end, arguments, tid=lane)

    def _notes(self, notes: list[Note]) -> Iterator[dict[str, Any]]:
        for note in notes:
            if note.kind in FOR_MACHINES:
                continue
            yield {
                "ph": "i",
                "s": "p",
                "cat": "note",
                "name": f"{note.kind}: {one_line(note.text, 80)}",
                "pid": self._pid,
                "tid": _MAIN,
                "ts": self._at(note.time),
                "args": {"text": one_line(note.text, TEXT_LIMIT)},
            }

    def _complete(
        self,
        name: str,
        category: str,
        begin: float,
        end: float | None,
        arguments: dict[str, Any],
        *,
        tid: int = _MAIN,
    ) -> dict[str, Any]:
        arguments = {key: value for key, value in arguments.items() if value or value == 0}
        if end is None:
            end = self._last
            arguments = {**arguments, "unfinished": True}
        start = self._at(begin)
        return {
            "ph": "X",
            "name": one_line(name, 100),
            "cat": category,
            "pid": self._pid,
            "tid": tid,
            "ts": start,
            "dur": max(self._at(end) - start, 0),
            "args": arguments,
        }

    def _about(self, what: str, tid: int, **arguments: Any) -> dict[str, Any]:
        """Return a metadata event: the name or place of a process or thread."""
        return {"ph": "M", "name": what, "pid": self._pid, "tid": tid, "ts": 0, "args": arguments}

    def _at(self, time: float) -> int:
        return max(round((time - self._origin) * 1e6), 0)


def _usage(usage: CallUsage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": usage.cost,
    }
