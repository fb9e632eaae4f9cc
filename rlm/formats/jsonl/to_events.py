"""Makes events of a log's entries.

A log has no ids and few times: ids are numbered, and missing times are put between the known ones.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm.events import (
    CallUsage,
    CellFinished,
    CellOutput,
    CellStarted,
    Event,
    ModelReply,
    RunFinished,
    RunStarted,
    SubCallFinished,
    SubCallStarted,
    TurnFinished,
    TurnStarted,
)
from rlm.formats.jsonl.messages import sent_message
from rlm.formats.jsonl.validate import time_of
from rlm.formats.jsonl.write import UNANSWERED

if TYPE_CHECKING:
    from rlm.events import Message

Entry = dict[str, Any]

_CONFIG = (
    "backend",
    "backend_kwargs",
    "environment_type",
    "environment_kwargs",
    "other_backends",
    "max_depth",
    "max_iterations",
)
_STOPPED = re.compile(r"\[cell (interrupted|timeout|died)\]\n\Z")
_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Group)\b")
_QUESTION = re.compile(r"Answer the following: (.+?)\n\n", re.DOTALL)
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class _Run:
    """A run of the log."""

    id: str
    parent: str | None
    depth: int
    metadata: Entry
    iterations: list[Entry]

    @property
    def model(self) -> str:
        return self.metadata.get("root_model") or _UNKNOWN


class LoggedEvents:
    """Makes the events of one logged run.

    Args:
        prefix: Of every id, except a run's own that the log gives.

    Attributes:
        events: Those made so far.
    """

    def __init__(self, prefix: str) -> None:
        self.events: list[Event] = []
        self._prefix = prefix
        self._numbers = itertools.count(1)

    def add_run(self, metadata: Entry, iterations: list[Entry], context: dict[str, Any]) -> None:
        """Add the root run, whose context is given as `RunStarted.context`."""
        run = _Run(metadata.get("run_id") or self._new(), None, 0, metadata, iterations)
        began = time_of(metadata["timestamp"])
        ended = self._run(run, began, context)
        answer = next(
            (text for e in reversed(iterations) if (text := _text(e.get("final_answer")))), None
        )
        if answer is not None:
            limit = metadata.get("max_iterations")
            late = limit is not None and iterations[-1]["iteration"] > limit
            end = {"status": "exhausted" if late else "answered", "answer": answer}
            self._run_finished(run, ended, duration=ended - began, usage={}, **end)

    def _run(self, run: _Run, now: float, context: dict[str, Any]) -> float:
        """Add a run and its turns; return when the last of them ended."""
        self._add(
            RunStarted,
            (run.id, run.parent, run.id),
            now,
            depth=run.depth,
            model=run.model,
            config={name: run.metadata.get(name) for name in _CONFIG},
            root_prompt=_question(run.iterations),
            context=context,
        )
        prompt: list[Message] = []
        for entry in run.iterations:
            now, prompt = self._turn(run, entry, now, prompt)
        return now

    def _run_finished(self, run: _Run, now: float, **figures: Any) -> None:
        self._add(RunFinished, (run.id, run.parent, run.id), now, error=None, **figures)

    def _turn(
        self, run: _Run, entry: Entry, now: float, before: list[Message]
    ) -> tuple[float, list[Message]]:
        """Add a turn; return when it ended, and its whole prompt."""
        ids = (self._new(), run.id, run.id)
        number, took = entry["iteration"], entry.get("iteration_time")
        final = _text(entry.get("final_answer"))
        blocks = entry["code_blocks"]
        ended = max(time_of(entry["timestamp"]), now)
        began = max(ended - (took or 0.0), now)
        kept, prompt = _prompt(entry, before)
        self._add(
            TurnStarted,
            ids,
            began,
            number=number,
            of=run.metadata.get("max_iterations") or number,
            kept=kept,
            messages=tuple(prompt[kept:]),
        )
        if entry is run.iterations[0] and blocks and _is_setup(run, blocks[0]):
            self._calls(blocks[0]["result"], run.id, run, began)
            blocks = blocks[1:]
        over = took is not None or final is not None
        in_cells = sum(block["result"].get("execution_time") or 0.0 for block in blocks)
        # The entry's time is that of the turn's end, or of the reply when it has none.
        replied = max(ended - in_cells, began) if over else ended
        self._add(
            ModelReply,
            ids,
            replied,
            model=run.model,
            text=entry["response"],
            usage=CallUsage(),
            duration=replied - began,
        )
        now = replied
        for index, block in enumerate(blocks, 1):
            now = self._cell(block, index, ids[0], run, now)
        if over:
            figures = {"number": number, "final_answer": final, "duration": took or 0.0}
            self._add(TurnFinished, ids, ended, **figures)
        return max(now, ended), prompt

    def _cell(self, block: Entry, number: int, turn: str, run: _Run, now: float) -> float:
        """Add a cell; return when it ended."""
        ids = (self._new(), turn, run.id)
        result, took = block["result"], block["result"].get("execution_time")
        self._add(CellStarted, ids, now, number=number, code=block["code"])
        ended = max(now + (took or 0.0), self._calls(result, ids[0], run, now))
        stderr = result["stderr"]
        if stopped := _STOPPED.search(stderr):
            stderr = stderr[: stopped.start()]
        for name, text in (("stdout", result["stdout"]), ("stderr", stderr)):
            if text:
                output = {"output_type": "stream", "name": name, "text": text}
                self._add(CellOutput, (self._new(), ids[0], run.id), ended, output=output)
        if took is not None:
            raised = _RAISED.match(stderr.rstrip().rpartition("\n")[2])
            self._add(
                CellFinished,
                ids,
                ended,
                status=stopped[1] if stopped else "error" if raised else "ok",
                execution_count=None,
                variables=_variables(result["locals"]),
                final_answer=_text(result.get("final_answer")),
                duration=took,
                shown="",
            )
        return ended

    def _calls(self, result: Entry, parent: str, run: _Run, now: float) -> float:
        """Add a block's calls; return when the last one ended."""
        queries = result["rlm_calls"]
        ended = [now]
        ended += [self._query(entry, (self._new(), parent, run.id), run, now) for entry in queries]
        for entry in result.get("tool_calls", ()):
            ids = (self._new(), parent, run.id)
            about = {"kind": "tool", "model": entry["name"]}
            self._add(SubCallStarted, ids, now, prompt=entry.get("arguments"), **about)
            if (took := entry.get("execution_time")) is not None:
                ended.append(now + took)
                self._call_finished(ids, now + took, entry, CallUsage(), about)
        return max(ended)

    def _query(self, entry: Entry, ids: tuple[str, str, str], run: _Run, now: float) -> float:
        """Add a plain call or a child; return when it ended."""
        child = entry.get("metadata")
        about = {"kind": "rlm" if child else "llm", "model": entry.get("root_model") or _UNKNOWN}
        self._add(SubCallStarted, ids, now, prompt=entry.get("prompt"), **about)
        until = now + (entry.get("execution_time") or 0.0)
        if child:
            until = max(until, self._child(child, entry, ids[0], run, now))
        if entry.get("error") == UNANSWERED:
            return now
        usage = CallUsage() if child else _usage(entry, about["model"])
        self._call_finished(ids, until, entry, usage, about)
        return until

    def _call_finished(
        self,
        ids: tuple[str, str, str],
        now: float,
        entry: Entry,
        usage: CallUsage,
        about: dict[str, Any],
    ) -> None:
        error = entry.get("error")
        self._add(
            SubCallFinished,
            ids,
            now,
            response=entry.get("response"),
            error=None if error is None else str(error),
            usage=usage,
            duration=entry.get("execution_time") or 0.0,
            **about,
        )

    def _child(self, record: Entry, entry: Entry, call: str, above: _Run, now: float) -> float:
        """Add a child's run; return when it ended."""
        iterations = record["iterations"]
        run = _Run(self._new(), call, above.depth + 1, record["run_metadata"], iterations)
        prompt = _text(entry.get("prompt")) or ""
        description = logged_description(iterations)
        context = {"type": "str", "length": len(prompt), "description": description}
        ended = self._run(run, now, context | {"preview": prompt[:200]})
        if entry.get("error") is None:
            end = {"status": "answered", "answer": _text(entry.get("response"))}
            usage = entry.get("usage_summary") or {}
            took = entry.get("execution_time") or 0.0
            self._run_finished(run, ended, duration=took, usage=usage, **end)
        return ended

    def _new(self) -> str:
        return f"{self._prefix}-{next(self._numbers)}"

    def _add(
        self, event: type[Event], ids: tuple[str, str | None, str], now: float, **values: Any
    ) -> None:
        node, parent, run = ids
        self.events.append(event(id=node, parent_id=parent, run_id=run, time=now, **values))


def logged_description(iterations: list[Entry]) -> str:
    """Return the context's description in a run's blocks; empty when there is none."""
    blocks = (block for entry in iterations for block in entry["code_blocks"])
    said = (block["result"]["locals"].get("context") for block in blocks)
    return next((text[1:-1] for text in said if isinstance(text, str)), "")


def _prompt(entry: Entry, before: list[Message]) -> tuple[int, list[Message]]:
    """Return how many messages an entry keeps of the prompt before, and its whole prompt."""
    prompt = entry["prompt"]
    if isinstance(prompt, list):
        messages = [sent_message(message) for message in prompt]
    else:
        messages = [{"role": "user", "content": prompt}]
    if "prompt_kept" in entry:
        kept = min(entry["prompt_kept"], len(before))
        return kept, [*before[:kept], *messages]
    pairs = enumerate(zip(before, messages, strict=False))
    common = next((n for n, (one, other) in pairs if one != other), None)
    return min(len(before), len(messages)) if common is None else common, messages


def _question(iterations: list[Entry]) -> str | None:
    """Return the question in the first prompt, ours or the reference's."""
    prompt = iterations[0]["prompt"] if iterations else []
    for message in prompt if isinstance(prompt, list) else []:
        content = message.get("content")
        if message.get("role") == "user" and isinstance(content, str):
            found = _QUESTION.match(content)
            return found[1] if found else None
    return None


def _is_setup(run: _Run, block: Entry) -> bool:
    """Whether a block is `setup_code`, which our logger writes before the cells."""
    result = block["result"]
    kwargs = run.metadata.get("environment_kwargs") or {}
    silent = not result["locals"] and not result["stdout"] and not result["stderr"]
    called = result["rlm_calls"] or result.get("tool_calls")
    is_code = block["code"] == str(kwargs.get("setup_code") or "")
    return bool(called and silent and is_code and result.get("execution_time") is None)


def _variables(shown: Entry) -> dict[str, dict[str, str]]:
    # The context's description comes last, where our logger adds it.
    names = list(shown)[:-1] if list(shown)[-1:] == ["context"] else list(shown)
    return {name: {"type": "", "preview": _text(shown[name]) or ""} for name in names}


def _usage(entry: Entry, model: str) -> CallUsage:
    """Return a plain call's usage; empty when its summary has none for the model."""
    summary = (entry.get("usage_summary") or {}).get("model_usage_summaries")
    figures = summary.get(model) if isinstance(summary, dict) else None
    if not isinstance(figures, dict):
        return CallUsage()
    tokens_in, tokens_out = figures.get("total_input_tokens"), figures.get("total_output_tokens")
    cost = figures.get("total_cost")
    return CallUsage(
        input_tokens=tokens_in if type(tokens_in) is int else None,
        output_tokens=tokens_out if type(tokens_out) is int else None,
        cost=cost if type(cost) in (int, float) else None,
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str):  # noqa: PLR2004
        return value[1]  # An old final answer: its kind, and its text.
    return json.dumps(value, ensure_ascii=False)
