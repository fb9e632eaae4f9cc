"""OpenTelemetry spans of runs, by the semantic conventions for generative AI.

A run, root or child, is an ``invoke_agent`` span; a model call a ``chat`` span; a cell, a child's
call and a host tool an ``execute_tool`` span. Attributes that the conventions do not name begin
with ``rlm.``. Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/ (in development there).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlm.errors import MissingPackageError
from rlm.events import RunStarted
from rlm.redaction import Redaction
from rlm.render.outline import FOR_MACHINES
from rlm.render.safe_text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

    from rlm.events import (
        CallUsage,
        CellFinished,
        CellOutput,
        CellStarted,
        Event,
        Message,
        ModelReply,
        Note,
        RunFinished,
        SubCallFinished,
        SubCallStarted,
        TurnStarted,
    )

AGENT = "rlm"
"""`gen_ai.agent.name` of every run."""

_PROVIDERS = {"azure_openai": "azure.ai.openai", "gemini": "gcp.gemini"}
"""Backends that have another name in the conventions."""

_FAILED = frozenset({"limit", "error", "cancelled"})
_TEXT_LIMIT = 300


@dataclass(slots=True, kw_only=True)
class _Run:
    """A run that goes on: its tree's root, its model's provider, its turn and conversation."""

    root_id: str
    provider: str
    turn: int = 0
    messages: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Open:
    """A span that has begun."""

    span: Span
    run_id: str
    root_id: str


class OTelReader:
    """Sends runs as spans to wherever OpenTelemetry is set up to export them.

    Prompts, replies, code and outputs are left out unless you ask for them. Spans have the times
    of the events, so you can also send a run that is over::

        for event in trajectory.events:
            reader.on_event(event)
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        content: bool = False,
        parent: Context | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """Choose where spans go.

        Args:
            tracer_provider: Whose spans they are; the global one's when None.
            content: Whether spans hold prompts, replies, code and outputs.
            parent: The context whose span root runs stand under; None takes the one that is
                current now, so that a reader made within a span continues its trace.
            redact: Called with every text before it is sent; returns what may be sent of it.

        Raises:
            ConfigurationError: `redact` is not callable.
            MissingPackageError: OpenTelemetry is not installed.
        """
        try:
            from opentelemetry import context, trace
        except ImportError as error:
            raise MissingPackageError(
                "OTelReader needs the package opentelemetry-sdk: pip install 'rlm-kernel[otel]'."
            ) from error
        self._trace = trace
        self._tracer = trace.get_tracer("rlm", tracer_provider=tracer_provider)
        self._parent = context.get_current() if parent is None else parent
        self._content = content
        self._redaction = Redaction(redact)
        self._runs: dict[str, _Run] = {}
        self._spans: dict[str, _Open] = {}

    def on_event(self, event: Event) -> None:
        """Take one event.

        Args:
            event: Of any run; several runs may share the reader.
        """
        event = self._redaction(event)
        if isinstance(event, RunStarted):
            self._run_started(event)
        elif event.run_id in self._runs:
            # The method for an event class is named after its `type`.
            handle = getattr(self, f"_{event.type}", None)
            if handle is not None:
                handle(event, self._runs[event.run_id])

    def close(self) -> None:
        """End the spans of runs that have not finished."""
        for node in reversed(list(self._spans)):
            self._end(node, None, error="unfinished")
        self._runs.clear()

    def _run_started(self, event: RunStarted) -> None:
        above = self._spans.get(event.parent_id or "")
        backend = str(event.config.get("backend") or "_OTHER")
        run = _Run(
            root_id=event.run_id if above is None else above.root_id,
            provider=_PROVIDERS.get(backend, backend),
        )
        self._runs[event.run_id] = run
        attributes = {
            "gen_ai.agent.name": AGENT,
            "gen_ai.provider.name": run.provider,
            "gen_ai.request.model": event.model,
            "rlm.run.id": event.run_id,
            "rlm.depth": event.depth,
            "rlm.environment": event.config.get("environment_type"),
            "rlm.context.type": event.context.get("type"),
            "rlm.context.length": event.context.get("length"),
        }
        if self._content and event.root_prompt is not None:
            asked = [{"role": "user", "content": event.root_prompt}]
            attributes["gen_ai.input.messages"] = _chat(asked)
        self._open(event, run, "invoke_agent", AGENT, attributes)

    def _run_finished(self, event: RunFinished, run: _Run) -> None:
        # No event ends the nodes that were running when the run was stopped.
        root = run.root_id == event.run_id
        for node, each in reversed(list(self._spans.items())):
            mine = each.root_id == run.root_id if root else each.run_id == event.run_id
            if mine and node != event.id:
                self._end(node, event, error="unfinished")
        attributes = {"rlm.status": event.status, **_summary(event.usage)}
        if self._content and event.answer is not None:
            attributes["gen_ai.output.messages"] = _reply(event.answer, event.status)
        error, message = None, ""
        if event.status in _FAILED:
            found = event.error or {}
            error = str(found.get("type") or event.status)
            message = str(found.get("message") or "")
        self._end(event.id, event, attributes, error=error, message=message)
        self._runs.pop(event.run_id, None)
        if root:
            left = [key for key, each in self._runs.items() if each.root_id == event.run_id]
            for key in left:
                del self._runs[key]

    def _turn_started(self, event: TurnStarted, run: _Run) -> None:
        run.turn = event.number
        if self._content:
            run.messages = [*run.messages[: event.kept], *event.messages]

    def _model_reply(self, event: ModelReply, run: _Run) -> None:
        attributes = {
            "gen_ai.provider.name": run.provider,
            "gen_ai.request.model": event.model,
            "gen_ai.response.finish_reasons": event.finish_reason and [event.finish_reason],
            "rlm.turn": run.turn,
            "rlm.purpose": event.purpose,
            **_usage(event.usage),
        }
        if self._content:
            attributes["gen_ai.input.messages"] = _chat(run.messages)
            attributes["gen_ai.output.messages"] = _reply(event.text, event.finish_reason)
        # The event has the time of the reply; the call began earlier.
        node = f"{event.id} reply"
        began = event.time - event.duration
        self._open(event, run, "chat", event.model, attributes, node=node, began=began)
        self._end(node, event)

    def _cell_started(self, event: CellStarted, run: _Run) -> None:
        attributes: dict[str, Any] = {
            "gen_ai.tool.name": "python",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": event.id,
            "rlm.turn": run.turn,
            "rlm.cell": event.number,
        }
        if self._content:
            attributes["gen_ai.tool.call.arguments"] = _to_json({"code": event.code})
        self._open(event, run, "execute_tool", "python", attributes)

    def _cell_output(self, event: CellOutput, _run: _Run) -> None:
        cell = self._spans.get(event.parent_id or "")
        if cell is not None and event.output.get("output_type") == "error":
            # The model's code chooses a class's name, as it does the message, but it is short.
            name = one_line(str(event.output.get("ename") or "_OTHER"), 80)
            self._set(cell.span, {"error.type": name})

    def _cell_finished(self, event: CellFinished, _run: _Run) -> None:
        attributes: dict[str, Any] = {
            "rlm.status": event.status,
            "rlm.execution_count": event.execution_count,
        }
        if self._content:
            attributes["gen_ai.tool.call.result"] = _to_json(event.shown)
        error = None if event.status in {"ok", "error"} else event.status
        self._end(event.id, event, attributes, error=error, failed=event.status != "ok")

    def _sub_call_started(self, event: SubCallStarted, run: _Run) -> None:
        if event.kind == "llm":
            attributes = {"gen_ai.provider.name": run.provider, "gen_ai.request.model": event.model}
            if self._content:
                asked = [{"role": "user", "content": event.prompt}]
                attributes["gen_ai.input.messages"] = _chat(asked)
            self._open(event, run, "chat", event.model, attributes)
            return
        name = event.model if event.kind == "tool" else "rlm_query"
        attributes = {
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": event.id,
        }
        if self._content:
            attributes["gen_ai.tool.call.arguments"] = _to_json(event.prompt)
        self._open(event, run, "execute_tool", name, attributes)

    def _sub_call_finished(self, event: SubCallFinished, _run: _Run) -> None:
        attributes = _usage(event.usage)
        if self._content and event.kind == "llm":
            attributes["gen_ai.output.messages"] = _reply(event.response, None)
        elif self._content:
            attributes["gen_ai.tool.call.result"] = _to_json(event.response)
        error = None if event.error is None else "_OTHER"
        self._end(event.id, event, attributes, error=error, message=event.error or "")

    def _note(self, event: Note, _run: _Run) -> None:
        about = self._spans.get(event.parent_id or "") or self._spans.get(event.run_id)
        if about is not None and event.kind not in FOR_MACHINES:
            text = {"rlm.note": one_line(event.text, _TEXT_LIMIT)}
            about.span.add_event(f"rlm.{event.kind}", text, timestamp=_nanoseconds(event.time))

    def _open(
        self,
        event: Event,
        run: _Run,
        operation: str,
        what: str,
        attributes: dict[str, Any],
        *,
        node: str | None = None,
        began: float | None = None,
    ) -> None:
        # A turn has no span: the spans of its calls and cells are children of the run's.
        above = self._spans.get(event.parent_id or "") or self._spans.get(event.run_id)
        context = self._parent if above is None else self._trace.set_span_in_context(above.span)
        kinds = self._trace.SpanKind
        span = self._tracer.start_span(
            one_line(f"{operation} {what}", 120),
            context=context,
            kind=kinds.CLIENT if operation == "chat" else kinds.INTERNAL,
            start_time=_nanoseconds(event.time if began is None else began),
        )
        common = {"gen_ai.operation.name": operation, "gen_ai.conversation.id": run.root_id}
        self._set(span, common | attributes)
        self._spans[node or event.id] = _Open(span, event.run_id, run.root_id)

    def _end(
        self,
        node: str,
        event: Event | None,
        attributes: dict[str, Any] | None = None,
        *,
        error: str | None = None,
        message: str = "",
        failed: bool = False,
    ) -> None:
        found = self._spans.pop(node, None)
        if found is None:
            return
        self._set(found.span, (attributes or {}) | {"error.type": error})
        if error is not None or failed:
            description = one_line(message or error or "", _TEXT_LIMIT) or None
            found.span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, description))
        found.span.end(end_time=None if event is None else _nanoseconds(event.time))

    @staticmethod
    def _set(span: Span, attributes: dict[str, Any]) -> None:
        span.set_attributes(
            {name: value for name, value in attributes.items() if value is not None}
        )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _usage(usage: CallUsage) -> dict[str, Any]:
    """Return one call's usage as attributes; None is unknown."""
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "rlm.usage.cost": usage.cost,
    }


def _summary(usage: dict[str, Any]) -> dict[str, Any]:
    """Return the usage of a run with its descendants as attributes."""
    summaries = usage.get("model_usage_summaries")
    models = list(summaries.values()) if isinstance(summaries, dict) else []
    found: dict[str, Any] = {"rlm.usage.cost": usage.get("total_cost")}
    for name in ("input_tokens", "output_tokens") if models else ():
        counts = (each.get(f"total_{name}") for each in models if isinstance(each, dict))
        found[f"gen_ai.usage.{name}"] = sum(n for n in counts if isinstance(n, int))
    return found


def _chat(messages: list[Message]) -> str:
    """Return chat messages as JSON; parts other than text are only named."""
    return _to_json([_chat_message(message) for message in messages])


def _chat_message(message: Message) -> dict[str, Any]:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    shown = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else "text"
        if kind == "text":
            text = part.get("text") if isinstance(part, dict) else part
            shown.append(
                {"type": "text", "content": text if isinstance(text, str) else _to_json(text)}
            )
        else:
            shown.append({"type": str(kind)})
    return {"role": str(message.get("role")), "parts": shown}


def _reply(text: Any, reason: str | None) -> str:
    """Return a reply as JSON."""
    content = text if isinstance(text, str) else _to_json(text)
    parts = [{"type": "text", "content": content}]
    return _to_json([{"role": "assistant", "parts": parts, "finish_reason": reason or "stop"}])


def _to_json(value: Any) -> str:
    """Return a value as JSON; a part that JSON cannot hold becomes its `repr`."""
    return json.dumps(value, ensure_ascii=False, default=repr)
