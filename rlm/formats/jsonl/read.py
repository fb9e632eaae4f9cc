"""Reads a `.jsonl` log, ours or the reference's, into trajectories.

Notes keep what events cannot hold (`rlm.formats.jsonl.extra_fields`), so that saving gives the same
log again, with two exceptions: secrets in a configuration are left out, and a copy of the context,
which the reference writes, becomes a description.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from rlm.context import describe
from rlm.events import Note, RunStarted, TurnStarted
from rlm.formats.jsonl.extra_fields import changes
from rlm.formats.jsonl.to_events import LoggedEvents, logged_description
from rlm.formats.jsonl.validate import logged_runs
from rlm.formats.jsonl.write import iteration_entry, metadata_entry
from rlm.secret_values import public_kwargs
from rlm.trajectory.codec import TrajectoryError, measurable
from rlm.trajectory.fold import Trajectory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rlm.events import Event
    from rlm.formats.jsonl.validate import LoggedRun
    from rlm.formats.jsonl.write import Prompts

_CONTEXT = re.compile(r"context(_\d+)?")
_KIND = re.compile(r"an? (\S+)(?: of ([0-9][0-9,]{0,20}))?")
_DESCRIBED = re.compile(r"<.{0,310}>", re.DOTALL)


def from_jsonl(content: bytes, _path: Path) -> Trajectory:
    """Read a log that holds one run.

    Raises:
        TrajectoryError: It is no log, or one of several runs; the message says which line.
    """
    runs = logged_runs(content)
    if len(runs) > 1:
        lines = ", ".join(str(run.numbers[0]) for run in runs)
        raise TrajectoryError(
            f"The log holds {len(runs)} runs (see lines {lines}), and a trajectory is one: "
            "rlm.trajectory.load_log(path) returns a list of them."
        )
    return _trajectory(runs[0], content, 0)


def all_from_jsonl(content: bytes) -> list[Trajectory]:
    """Read a log that holds any number of runs.

    Raises:
        TrajectoryError: It is no log; the message says which line is wrong.
    """
    return [_trajectory(run, content, n) for n, run in enumerate(logged_runs(content))]


def _trajectory(run: LoggedRun, content: bytes, index: int) -> Trajectory:
    # Ids come from the content: the same log gives the same events.
    prefix = f"log-{hashlib.sha256(content).hexdigest()[:12]}{f'-{index}' if index else ''}"
    logged = LoggedEvents(prefix)
    try:
        context = _context(run)
        metadata = _kept(run.metadata)
        entries = [_kept(entry) for entry in run.iterations]
        logged.add_run(metadata, entries, context)
        if not all(measurable(event.time) for event in logged.events):
            raise TrajectoryError("The log has timestamps out of range.")
        trajectory = Trajectory.from_events(logged.events)
        rest = _left_over(trajectory, metadata, entries)
    except RecursionError:
        raise TrajectoryError("The log's children are nested too deeply to be read.") from None
    return Trajectory.from_events(_with_notes(logged.events, rest, prefix)) if rest else trajectory


def _left_over(
    trajectory: Trajectory, metadata: dict[str, Any], entries: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return, by the id of a run or turn, what its line has and its events have not."""
    root = trajectory.root
    assert root is not None
    prompts: Prompts = "delta" if any("prompt_kept" in entry for entry in entries) else "full"
    rest: dict[str, dict[str, Any]] = {}
    if found := list(changes(metadata_entry(root), metadata)):
        rest[root.started.id] = {"changes": found}
    if prompts == "delta":
        rest.setdefault(root.started.id, {})["prompts"] = prompts
    for turn, entry in zip(root.turns, entries, strict=True):
        if found := list(changes(iteration_entry(root, turn, prompts=prompts), entry)):
            rest[turn.started.id] = {"changes": found}
    return rest


def _with_notes(
    events: list[Event], rest: dict[str, dict[str, Any]], prefix: str
) -> Iterator[Event]:
    for event in events:
        yield event
        if isinstance(event, RunStarted | TurnStarted) and event.id in rest:
            yield Note(
                id=f"{prefix}-{event.id}-log",
                parent_id=event.id,
                run_id=event.run_id,
                time=event.time,
                kind="log",
                text="The log says more than events hold; it is kept for the log.",
                data=rest[event.id],
            )


def _context(run: LoggedRun) -> dict[str, Any]:
    """Return what a log says of the context; of a copy a description, and a small copy itself."""
    for entry in run.iterations:
        for block in entry["code_blocks"]:
            shown = block["result"]["locals"]
            if "context" in shown and not _is_description(shown["context"]):
                return describe(shown["context"]).to_dict()
    description = logged_description(run.iterations)
    kind, length = found.groups() if (found := _KIND.match(description)) else ("unknown", None)
    size = int(length.replace(",", "")) if length else 0
    return {"type": kind, "length": size, "description": description, "preview": ""}


def _kept(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry without secrets in a configuration and without copies of contexts."""
    if "code_blocks" not in entry:
        return public_kwargs(entry)
    blocks = [{**block, "result": _kept_result(block["result"])} for block in entry["code_blocks"]]
    return {**entry, "code_blocks": blocks}


def _kept_result(result: dict[str, Any]) -> dict[str, Any]:
    shown = {
        name: f"<{describe(value, inline=False).description[:300]}>"
        if _CONTEXT.fullmatch(name) and not _is_description(value)
        else value
        for name, value in result["locals"].items()
    }
    calls = [
        {**call, "metadata": _kept_child(call["metadata"])} if call.get("metadata") else call
        for call in result["rlm_calls"]
    ]
    return {**result, "locals": shown, "rlm_calls": calls}


def _kept_child(record: dict[str, Any]) -> dict[str, Any]:
    iterations = [_kept(entry) for entry in record["iterations"]]
    return {**record, "run_metadata": _kept(record["run_metadata"]), "iterations": iterations}


def _is_description(value: Any) -> bool:
    return isinstance(value, str) and _DESCRIBED.fullmatch(value) is not None
