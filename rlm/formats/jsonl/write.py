"""A run in the reference's log format: pure functions from nodes to dictionaries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from rlm.formats.jsonl.extra_fields import changed
from rlm.formats.jsonl.messages import logged_message
from rlm.render.cell_text import streams, text_of
from rlm.render.outline import context_text
from rlm.render.safe_text import one_line
from rlm.secret_values import public_kwargs
from rlm.trajectory.codec import TrajectoryError
from rlm.trajectory.json_text import json_bytes
from rlm.usage import ModelUsageSummary, UsageSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rlm.trajectory import CellNode, RunNode, SubCallNode, Trajectory, TurnNode

Prompts = Literal["full", "delta"]
"""Which messages an iteration's `prompt` holds: all, or those that the turn added."""

UNANSWERED = "The cell ended before the answer came."
"""The error of a sub-call without a recorded answer."""

CHILD_PROMPT_LIMIT = 10_000
"""How many characters of a child's prompt are logged: it is the child's context."""


def log_lines(run: RunNode, *, prompts: Prompts = "full") -> Iterator[bytes]:
    """Yield the lines of a root run's log: its metadata, then its iterations."""
    kept = (note.data for note in run.notes if note.kind == "log")
    if prompts == "full" and any(data.get("prompts") == "delta" for data in kept):
        prompts = "delta"  # As in the log that the run was read from.
    yield log_line(changed(metadata_entry(run), run.notes))
    for turn in logged_turns(run.turns):
        yield log_line(changed(iteration_entry(run, turn, prompts=prompts), turn.notes))


def jsonl_content(trajectory: Trajectory, _path: Path) -> bytes:
    """Return the root run as the reference logs it."""
    if trajectory.root is None:
        raise TrajectoryError("There is nothing to save: no run was started.")
    try:
        return b"".join(log_lines(trajectory.root))
    except RecursionError:
        raise TrajectoryError(
            "Its children are nested too deeply for a .jsonl log; save it as .json or .ipynb."
        ) from None


def metadata_entry(run: RunNode) -> dict[str, Any]:
    """Return the first entry of a root run's log."""
    head = {"type": "metadata", "timestamp": timestamp(run.started.time)}
    return {**head, **run_metadata(run), "run_id": run.started.run_id}


def iteration_entry(run: RunNode, turn: TurnNode, *, prompts: Prompts) -> dict[str, Any]:
    """Return the entry of a root run's turn."""
    return {**iteration(run, turn, prompts=prompts), "run_id": run.started.run_id}


def log_line(entry: dict[str, Any]) -> bytes:
    """Return an entry as a line of the log."""
    return json_bytes(entry, default=repr, finite=True) + b"\n"


def run_record(run: RunNode, *, prompts: Prompts = "full") -> dict[str, Any]:
    """Return a run as the reference's `completion.metadata`."""
    return {"run_metadata": run_metadata(run), "iterations": iterations(run, prompts=prompts)}


def run_metadata(run: RunNode) -> dict[str, Any]:
    """Return a run's configuration without secrets, which the reference logs once."""
    config = run.started.config
    return {
        "root_model": run.started.model,
        "max_depth": config.get("max_depth"),
        "max_iterations": config.get("max_iterations"),
        "backend": config.get("backend"),
        "backend_kwargs": public_kwargs(_mapping(config.get("backend_kwargs"))),
        "environment_type": config.get("environment_type"),
        "environment_kwargs": public_kwargs(_mapping(config.get("environment_kwargs"))),
        "other_backends": public_kwargs({"names": config.get("other_backends")})["names"],
    }


def iterations(run: RunNode, *, prompts: Prompts = "full") -> list[dict[str, Any]]:
    """Return the turns of a run, also the one that forces a final answer, as iterations."""
    return [iteration(run, turn, prompts=prompts) for turn in logged_turns(run.turns)]


def logged_turns(turns: Iterable[TurnNode]) -> list[TurnNode]:
    """Return the turns that are iterations: those that the model replied to."""
    return [turn for turn in turns if turn.reply is not None or turn.cells]


def iteration(run: RunNode, turn: TurnNode, *, prompts: Prompts = "full") -> dict[str, Any]:
    """Return one turn as the reference's iteration.

    With `prompts="delta"` there is also `prompt_kept`: how many leading messages of the last
    iteration's prompt come before those in `prompt`.
    """
    delta = prompts == "delta"
    reply = turn.reply
    ended = turn.finished or reply or turn.started
    messages = turn.started.messages if delta else turn.messages
    return {
        "type": "iteration",
        "iteration": turn.started.number,
        "timestamp": timestamp(ended.time),
        "prompt": [logged_message(message) for message in messages],
        **({"prompt_kept": turn.started.kept} if delta else {}),
        "response": "" if reply is None else reply.text,
        "code_blocks": [
            *([_setup_block(run, prompts)] if run.setup_calls and turn is run.turns[0] else []),
            *(_code_block(run, cell, prompts) for cell in turn.cells),
        ],
        "final_answer": None if turn.finished is None else turn.finished.final_answer,
        "iteration_time": None if turn.finished is None else turn.finished.duration,
    }


def timestamp(seconds: float) -> str:
    """Return a time as ISO 8601 in local time with its offset."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat()


def _setup_block(run: RunNode, prompts: Prompts) -> dict[str, Any]:
    """Return `setup_code` with what it called, as a block before those of the first turn."""
    kwargs = public_kwargs(_mapping(run.started.config.get("environment_kwargs")))
    result = {
        "stdout": "",
        "stderr": "",
        "locals": {},
        "execution_time": None,
        **_calls(run.setup_calls, prompts),
        "final_answer": None,
    }
    return {"code": str(kwargs.get("setup_code") or ""), "result": result}


def _code_block(run: RunNode, cell: CellNode, prompts: Prompts) -> dict[str, Any]:
    finished = cell.finished
    stdout, stderr = streams(cell)
    result = {
        "stdout": stdout,
        "stderr": stderr,
        "locals": _locals(run, cell),
        "execution_time": None if finished is None else finished.duration,
        **_calls(cell.sub_calls, prompts),
        "final_answer": None if finished is None else finished.final_answer,
    }
    return {"code": cell.started.code, "result": result}


def _calls(calls: list[SubCallNode], prompts: Prompts) -> dict[str, Any]:
    """Return a block's calls: those to models as the reference has them, and host tools."""
    queries = [_call(call, prompts) for call in calls if call.started.kind != "tool"]
    tools = [_tool_call(call) for call in calls if call.started.kind == "tool"]
    return {"rlm_calls": queries, **({"tool_calls": tools} if tools else {})}


def _locals(run: RunNode, cell: CellNode) -> dict[str, str]:
    """Return previews of the model's variables; the context is described, never copied."""
    shown = f"<{one_line(context_text(run), 300)}>"
    variables = {} if cell.finished is None else cell.finished.variables
    previews = {name: str(value.get("preview", "")) for name, value in variables.items()}
    contexts = [name for name in previews if name.startswith("context_") and name[8:].isdigit()]
    return {**previews, **dict.fromkeys(["context", *contexts], shown)}


def _call(call: SubCallNode, prompts: Prompts) -> dict[str, Any]:
    """Return a sub-call as the reference's `RLMChatCompletion.to_dict()`."""
    finished = call.finished
    error = UNANSWERED if finished is None else finished.error
    entry = {
        "root_model": call.started.model,
        "prompt": call.started.prompt,
        "response": "" if finished is None else text_of(finished.response),
        "usage_summary": _usage(call).to_dict(),
        "execution_time": 0.0 if finished is None else finished.duration,
    }
    if call.child is not None:
        entry["prompt"] = _cut(call.started.prompt)
        entry["metadata"] = run_record(call.child, prompts=prompts)
    if error is not None:
        entry["error"] = error
    return entry


def _tool_call(call: SubCallNode) -> dict[str, Any]:
    finished = call.finished
    return {
        "name": call.started.model,
        "arguments": call.started.prompt,
        "response": None if finished is None else finished.response,
        "error": None if finished is None else finished.error,
        "execution_time": None if finished is None else finished.duration,
    }


def _usage(call: SubCallNode) -> UsageSummary:
    if call.child is not None:
        return call.child.usage
    finished = call.finished
    if finished is None or (finished.error is not None and not finished.usage.input_tokens):
        return UsageSummary()
    usage = finished.usage
    summary = ModelUsageSummary(1, usage.input_tokens or 0, usage.output_tokens or 0, usage.cost)
    return UsageSummary({finished.model: summary})


def _cut(prompt: Any) -> Any:
    text = text_of(prompt)
    if len(text) <= CHILD_PROMPT_LIMIT:
        return prompt
    half = CHILD_PROMPT_LIMIT // 2
    return f"{text[:half]}\n... + [{len(text) - 2 * half:,} chars...]\n{text[-half:]}"


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
