"""Compares what two runs did, apart from times, ids, and the order of concurrent calls."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm_kernel.recorded_calls import masked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rlm.events import CallUsage, Note
    from rlm.trajectory.nodes import CellNode, RunNode, SubCallNode, TurnNode

MAX_DIFFERENCES = 20
_SHOWN = 160
_ELSEWHERE = ("environment_type", "environment_kwargs")
"""Where a run's kernels ran, which is not compared; what they did is."""

_SECONDS = re.compile(r"\d[\d,]*(?:\.\d+)? s\b")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two runs did differently; true if they did the same.

    Attributes:
        differences: One readable line per difference, for the first `MAX_DIFFERENCES`.
    """

    differences: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        return "\n".join(self.differences) or "the same"


def compare(first: RunNode | None, second: RunNode | None) -> Comparison:
    """Compare what two trees did.

    It ignores times, durations and ids, where the kernels ran, notes of retries, the order of
    concurrent sub-calls, how stdout and stderr interleaved, and noise (`masked_value`).

    Args:
        first: A root run; None if there is none.
        second: The other.
    """
    one = None if first is None else _run(first)
    two = None if second is None else _run(second)
    found: list[str] = []
    for line in _differences(one, two, ()):
        found.append(line)
        if len(found) == MAX_DIFFERENCES:
            found.append("... and more")
            break
    return Comparison(tuple(found))


def compare_outputs(
    first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]
) -> tuple[str, ...]:
    """Return how the outputs (nbformat 4) of two executions of a cell differ."""
    return tuple(_differences(_outputs(first), _outputs(second), ()))


def masked_value(value: Any) -> Any:
    """Return a JSON value with the noise of every text in it replaced.

    Noise differs between two executions of the same code and means nothing: object addresses
    (``<Foo object at 0x7f3a5c1e2d90>``) and the names of a kernel's temporary files. Times, random
    numbers and process ids stay: a cell may be about them.
    """
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, list | tuple):
        return [masked_value(item) for item in value]
    if isinstance(value, dict):
        return {key: masked_value(item) for key, item in value.items()}
    return value


def without_seconds(text: str) -> str:
    """Return the text of a note or error without durations."""
    return _SECONDS.sub("... s", masked(text))


def _run(run: RunNode) -> dict[str, Any]:
    started, finished = run.started, run.finished
    config = {name: value for name, value in started.config.items() if name not in _ELSEWHERE}
    found: dict[str, Any] = {
        "model": started.model,
        "depth": started.depth,
        "question": started.root_prompt,
        "context": started.context,
        "config": config,
        "setup calls": _calls(run.setup_calls),
        "turns": [_turn(turn) for turn in run.turns],
        "notes": _notes(run.notes),
        "end": None,
    }
    if finished is not None:
        error = finished.error and {
            name: without_seconds(text) for name, text in finished.error.items()
        }
        found["end"] = {
            "status": finished.status,
            "answer": masked_value(finished.answer),
            "error": error,
            "usage": _rounded(finished.usage),
        }
    return found


def _turn(turn: TurnNode) -> dict[str, Any]:
    return {
        "number": turn.started.number,
        "messages kept": turn.started.kept,
        "messages": [_message(message) for message in turn.started.messages],
        "replies": [
            {
                "model": reply.model,
                "text": reply.text,
                "purpose": reply.purpose,
                "finish reason": reply.finish_reason,
                "usage": _usage(reply.usage),
            }
            for reply in turn.replies
        ],
        "cells": [_cell(cell) for cell in turn.cells],
        "final answer": turn.finished and masked_value(turn.finished.final_answer),
        "finished": not turn.pending,
        "notes": _notes(turn.notes),
    }


def _cell(cell: CellNode) -> dict[str, Any]:
    found: dict[str, Any] = {
        "code": cell.started.code,
        "outputs": _outputs(cell.outputs),
        "sub-calls": _calls(cell.sub_calls),
        "notes": _notes(cell.notes),
        "end": None,
    }
    if cell.finished is not None:
        found["end"] = {
            "status": cell.finished.status,
            "execution count": cell.finished.execution_count,
            "variables": masked_value(cell.finished.variables),
            "final answer": masked_value(cell.finished.final_answer),
            "shown": _shown(cell.finished.shown),
        }
    return found


def _calls(calls: Sequence[SubCallNode]) -> list[dict[str, Any]]:
    """Return sub-calls in an order that does not depend on which was first."""
    return sorted(map(_call, calls), key=lambda call: json.dumps(call, sort_keys=True))


def _call(call: SubCallNode) -> dict[str, Any]:
    found: dict[str, Any] = {
        "kind": call.started.kind,
        "model": call.started.model,
        "prompt": masked_value(call.started.prompt),
        "finished": not call.pending,
        "child": None if call.child is None else _run(call.child),
        "notes": _notes(call.notes),
    }
    if call.finished is not None:
        found["response"] = masked_value(call.finished.response)
        found["error"] = call.finished.error and without_seconds(call.finished.error)
        found["usage"] = _usage(call.finished.usage)
    return found


def _outputs(outputs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return outputs with each stream joined, because stdout and stderr interleave by chance."""
    streams: dict[str, list[str]] = {}
    others = []
    for output in outputs:
        if output.get("output_type") == "stream":
            streams.setdefault(str(output.get("name")), []).append(_joined(output.get("text", "")))
        else:
            others.append(masked_value(output))
    return {
        "streams": {name: masked("".join(texts)) for name, texts in streams.items()},
        "others": others,
    }


def _notes(notes: Sequence[Note]) -> list[dict[str, Any]]:
    """Return the notes in a fixed order, because several threads emit them."""
    found = [
        {
            "kind": note.kind,
            "text": without_seconds(note.text),
            "data": {name: item for name, item in note.data.items() if name != "elapsed"},
        }
        for note in notes
        if note.kind != "retry"
    ]
    return sorted(found, key=lambda note: json.dumps(note, sort_keys=True, default=str))


def _message(message: dict[str, Any]) -> Any:
    content = message.get("content")
    if isinstance(content, str) and content.startswith("REPL output"):
        return {**message, "content": _shown(content)}
    return masked_value(message)


def _shown(text: str) -> list[str]:
    """Return the lines that the model saw, sorted, because the streams interleave by chance."""
    return sorted(without_seconds(text).splitlines())


def _usage(usage: CallUsage) -> list[Any]:
    return [usage.input_tokens, usage.output_tokens, usage.cost]


def _rounded(value: Any) -> Any:
    """Return figures without the last digits, which depend on the order of addition."""
    if isinstance(value, float):
        return round(value, 9)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return value


def _joined(text: Any) -> str:
    return "".join(map(str, text)) if isinstance(text, list | tuple) else str(text)


def _differences(first: Any, second: Any, where: tuple[str, ...]) -> Iterator[str]:
    """Yield a readable line for each difference between two values."""
    if first == second:
        return
    if isinstance(first, dict) and isinstance(second, dict):
        for name in dict.fromkeys([*first, *second]):
            yield from _differences(first.get(name), second.get(name), (*where, str(name)))
    elif isinstance(first, list) and isinstance(second, list):
        for number, (one, two) in enumerate(zip(first, second, strict=False), 1):
            yield from _differences(one, two, (*where, f"#{number}"))
        if len(first) != len(second):
            yield f"{_place(where)}: {len(first)} of them, and {len(second)}"
    else:
        yield f"{_place(where)}: {_first_difference(first, second)}"


def _place(where: tuple[str, ...]) -> str:
    """Return the path of a value as text, such as ``turn 2, cell 1, outputs, stdout``."""
    words: list[str] = []
    for word in where:
        if word.startswith("#") and words and words[-1].endswith("s"):
            words[-1] = f"{words[-1].removesuffix('s').replace('replie', 'reply')} {word[1:]}"
        elif word not in {"end", "streams"}:
            words.append(word)
    return ", ".join(words) or "the run"


def _first_difference(first: Any, second: Any) -> str:
    """Return two values as text; of two texts, the first line that differs."""
    if isinstance(first, str) and isinstance(second, str):
        ones, twos = first.splitlines(), second.splitlines()
        for number, (one, two) in enumerate(zip(ones, twos, strict=False), 1):
            if one != two:
                line = f"line {number}: " if len(ones) > 1 else ""
                return f"{line}{_short(one)} / {_short(two)}"
        return f"{_short(first[-_SHOWN:])} / {_short(second[-_SHOWN:])} (the ends)"
    return f"{_short(first)} / {_short(second)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
