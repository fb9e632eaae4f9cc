"""Reads and checks the lines of a `.jsonl` log, ours or the reference's, and sorts them by run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rlm.trajectory.codec import TrajectoryError, measurable

_NUMBER = (int, float)
_CONFIGURATION: dict[str, tuple[type, ...]] = {
    "root_model": (str, type(None)),
    "backend_kwargs": (dict, type(None)),
    "environment_kwargs": (dict, type(None)),
    "max_iterations": (int, type(None)),
}
_CHECKS: dict[str, dict[str, tuple[type, ...]]] = {
    "metadata": {"timestamp": (str,), **_CONFIGURATION},
    "run_metadata": _CONFIGURATION,
    "iteration": {
        "iteration": (int,),
        "timestamp": (str,),
        "prompt": (list, str, dict),
        "response": (str,),
        "code_blocks": (list,),
        "final_answer": (str, list, type(None)),
        "iteration_time": (*_NUMBER, type(None)),
    },
    "block": {"code": (str,), "result": (dict,)},
    "result": {
        "stdout": (str,),
        "stderr": (str,),
        "locals": (dict,),
        "execution_time": (*_NUMBER, type(None)),
        "rlm_calls": (list,),
    },
    "call": {
        "root_model": (str, type(None)),
        "response": (str, type(None)),
        "usage_summary": (dict, type(None)),
        "execution_time": (*_NUMBER, type(None)),
    },
    "child": {"run_metadata": (dict,), "iterations": (list,)},
    "tool": {"name": (str,), "execution_time": (*_NUMBER, type(None))},
}
"""The fields that each object must have, and their types."""

_NAMES = {str: "a text", int: "a number", float: "a number", list: "a list", dict: "an object"}


@dataclass(slots=True)
class LoggedRun:
    """The lines of one root run.

    Attributes:
        metadata: Its first line.
        ours: Whether our logger wrote it: its lines have a `run_id`, the reference's have none.
        numbers: The number of each line in the file, the metadata's first.
        iterations: The other lines.
    """

    metadata: dict[str, Any]
    ours: bool
    numbers: list[int]
    iterations: list[dict[str, Any]] = field(default_factory=list)


def logged_runs(content: bytes) -> list[LoggedRun]:
    """Return the root runs of a log, in the order in which they began.

    Raises:
        TrajectoryError: A line is wrong. The message names the line and the field.
    """
    runs: list[LoggedRun] = []
    lines = content.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = _entry(line, number, last=number == len(lines))
        if entry["type"] == "metadata":
            runs.append(LoggedRun(entry, ours="run_id" in entry, numbers=[number]))
            continue
        run = _run_of(entry, runs)
        if run is None:
            raise TrajectoryError(
                f"Line {number} is an iteration of a run whose metadata line is missing."
            )
        if (
            not run.ours
            and run.iterations
            and entry["iteration"] <= run.iterations[-1]["iteration"]
        ):
            # The reference's logger writes the metadata of a persistent RLM once.
            run = LoggedRun(run.metadata, ours=False, numbers=[run.numbers[0]])
            runs.append(run)
        run.iterations.append(entry)
        run.numbers.append(number)
    if not runs:
        raise TrajectoryError("There is no metadata line: this is not the log of a run.")
    return runs


def time_of(text: str) -> float:
    """Return a timestamp as seconds since the epoch; without a zone it is in local time."""
    return datetime.fromisoformat(text).timestamp()


def _run_of(entry: dict[str, Any], runs: list[LoggedRun]) -> LoggedRun | None:
    if "run_id" not in entry:
        return next((run for run in reversed(runs) if not run.ours), None)
    mine = (run for run in runs if run.ours and run.metadata["run_id"] == entry["run_id"])
    return next(mine, None)


def _entry(line: bytes, number: int, *, last: bool) -> dict[str, Any]:
    where = f"Line {number}"
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        hint = ": it was cut off, remove it to read the others" if last and number > 1 else ""
        raise TrajectoryError(f"{where} is not JSON{hint} ({error}).") from None
    if not isinstance(entry, dict):
        raise TrajectoryError(f"{where} is not an object.")
    kind = entry.get("type")
    if kind != "metadata" and kind != "iteration":  # noqa: PLR1714 - it may be of any type
        raise TrajectoryError(f"{where}: type is {kind!r:.80}, not 'metadata' or 'iteration'.")
    if not isinstance(entry.get("run_id", ""), str):
        raise TrajectoryError(f"{where}: run_id is not a text.")
    _check(entry, kind, where)
    if kind == "iteration":
        _check_iteration(entry, where)
    return entry


def _check_iteration(entry: dict[str, Any], where: str) -> None:
    if isinstance(entry["prompt"], list):
        for number, message in enumerate(entry["prompt"]):
            if not isinstance(message, dict):
                raise TrajectoryError(f"{where}: prompt[{number}] is not an object.")
    kept = entry.get("prompt_kept", 0)
    if not isinstance(kept, int) or isinstance(kept, bool) or kept < 0:
        raise TrajectoryError(f"{where}: prompt_kept is {kept!r:.80}, not a count.")
    for number, block in enumerate(entry["code_blocks"]):
        place = f"{where}: code_blocks[{number}]"
        _check(block, "block", place)
        result = block["result"]
        _check(result, "result", f"{place}.result")
        for index, call in enumerate(result["rlm_calls"]):
            spot = f"{place}.result.rlm_calls[{index}]"
            _check(call, "call", spot)
            if isinstance(call.get("metadata"), dict):
                _check_child(call["metadata"], f"{spot}.metadata")
        tools = result.get("tool_calls", [])
        for index, call in enumerate(tools if isinstance(tools, list) else [tools]):
            _check(call, "tool", f"{place}.result.tool_calls[{index}]")


def _check_child(child: dict[str, Any], where: str) -> None:
    _check(child, "child", where)
    _check(child["run_metadata"], "run_metadata", f"{where}.run_metadata")
    for number, entry in enumerate(child["iterations"]):
        place = f"{where}.iterations[{number}]"
        _check(entry, "iteration", place)
        _check_iteration(entry, place)


def _check(entry: Any, kind: str, where: str) -> None:
    if not isinstance(entry, dict):
        raise TrajectoryError(f"{where} is not an object.")
    for name, types in _CHECKS[kind].items():
        if name not in entry and type(None) not in types:
            raise TrajectoryError(f"{where} lacks the field {name}.")
        value = entry.get(name)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            wanted = " or ".join(dict.fromkeys(_NAMES.get(each, "null") for each in types))
            raise TrajectoryError(f"{where}: {name} is {value!r:.80}, not {wanted}.")
        if isinstance(value, int | float) and not measurable(value):
            raise TrajectoryError(f"{where}: {name} is {value!r:.80}, which is out of range.")
    if kind in {"metadata", "iteration"}:
        try:
            time_of(entry["timestamp"])
        except (ValueError, OverflowError, OSError):
            text = entry["timestamp"]
            raise TrajectoryError(f"{where}: timestamp is {text!r:.80}, not a time.") from None
