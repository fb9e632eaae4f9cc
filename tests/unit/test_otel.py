"""Runs become spans of the real SDK, by the semantic conventions for generative AI."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from story import CONFIG, Story, a_whole_story, failure, stdout

from rlm.logger import OTelReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rlm.events import Event


class Told:
    """The spans of some events."""

    def __init__(self, events: Iterable[Event], **options: Any) -> None:
        exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        reader = OTelReader(tracer_provider=provider, **options)
        for event in events:
            reader.on_event(event)
        reader.close()
        self.spans: tuple[ReadableSpan, ...] = exporter.get_finished_spans()
        provider.shutdown()

    def named(self, name: str) -> list[ReadableSpan]:
        return sorted(
            (span for span in self.spans if span.name == name),
            key=lambda span: span.start_time or 0,
        )

    def above(self, span: ReadableSpan) -> ReadableSpan | None:
        if span.parent is None:
            return None
        (found,) = (s for s in self.spans if s.context.span_id == span.parent.span_id)
        return found

    def way(self, span: ReadableSpan) -> list[str]:
        """Return the names from the root down to a span."""
        above = self.above(span)
        return [*([] if above is None else self.way(above)), span.name]


def of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_spans_form_the_tree_of_the_nodes() -> None:
    told = Told(a_whole_story().events)
    root, child = told.named("invoke_agent rlm")
    assert told.way(child) == [
        "invoke_agent rlm",
        "execute_tool python",
        "execute_tool rlm_query",
        "invoke_agent rlm",
    ]
    assert root.parent is None
    first, second, third = told.named("chat gpt-5-mini")
    assert told.above(first) is told.above(second) is root
    assert told.above(third) is child
    (tool,) = told.named("execute_tool find")
    calls = told.named("chat gpt-5-nano")
    cells = told.named("execute_tool python")
    assert len(calls) == 17
    assert {told.above(call) for call in calls[:16]} == {told.above(tool)} == {cells[1]}
    assert told.way(calls[16])[-2:] == ["execute_tool python", "chat gpt-5-nano"]
    assert len({span.context.trace_id for span in told.spans}) == 1


def test_spans_have_the_conventions_attributes() -> None:
    told = Told(a_whole_story().events)
    root, _ = told.named("invoke_agent rlm")
    assert root.kind is SpanKind.INTERNAL
    assert of(root) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "rlm",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.conversation.id": "r-1",
        "rlm.run.id": "r-1",
        "rlm.depth": 0,
        "rlm.environment": "local",
        "rlm.context.type": "str",
        "rlm.context.length": 10_485_760,
        "rlm.status": "answered",
    }
    chat = told.named("chat gpt-5-mini")[0]
    assert chat.kind is SpanKind.CLIENT
    assert of(chat) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.conversation.id": "r-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 80,
        "rlm.usage.cost": 0.001,
        "rlm.turn": 1,
        "rlm.purpose": "turn",
    }
    (tool,) = told.named("execute_tool find")
    assert of(tool)["gen_ai.tool.name"] == "find"
    assert of(tool)["gen_ai.tool.type"] == "function"


def test_spans_have_the_times_of_the_events() -> None:
    events = a_whole_story().events
    told = Told(events)
    root, _ = told.named("invoke_agent rlm")
    assert root.start_time == round(events[0].time * 1e9)
    assert root.end_time == round(events[-1].time * 1e9)
    chat = told.named("chat gpt-5-mini")[0]
    assert (chat.end_time or 0) - (chat.start_time or 0) == pytest.approx(1.2e9, abs=1e3)


def test_errors_are_the_status() -> None:
    story = Story()
    error = {"type": "BudgetExceededError", "message": "Budget exceeded: spent $2."}
    with story.run(status="limit", answer=None, error=error), story.turn():
        cell = story.cell("1/0", failure("ZeroDivisionError", "secret"), status="error")
        with cell, story.call("p", "Error: 429", error="429 too many requests"):
            pass
        with story.cell("while True: pass", status="timeout"):
            pass
    told = Told(story.events)
    (run,) = told.named("invoke_agent rlm")
    raised, stopped = told.named("execute_tool python")
    (call,) = told.named("chat gpt-5-nano")
    for span, kind in (
        (run, "BudgetExceededError"),
        (raised, "ZeroDivisionError"),
        (stopped, "timeout"),
        (call, "_OTHER"),
    ):
        assert span.status.status_code is StatusCode.ERROR
        assert of(span)["error.type"] == kind
    assert run.status.description == "Budget exceeded: spent $2."
    assert call.status.description == "429 too many requests"
    good = Told(a_whole_story().events).named("invoke_agent rlm")[0]
    assert good.status.status_code is StatusCode.UNSET


def a_secret_story() -> Story:
    """A run in which every text says `secret`."""
    story = Story()
    messages = (
        {"role": "system", "content": "secret system"},
        {"role": "user", "content": "secret"},
    )
    with (
        story.run(question="secret?", answer="secret"),
        story.turn("secret reply", messages=messages, final="secret"),
        story.cell(
            "secret = 1",
            stdout("secret"),
            failure("ValueError", "secret"),
            status="error",
            final="secret",
            variables={"secret": {"type": "str", "preview": "secret"}},
        ),
    ):
        with story.call("secret", "secret"):
            pass
        with story.call({"args": ["secret"]}, ["secret"], kind="tool", model="find"):
            pass
        with story.call("secret", "secret", kind="rlm"), story.run(question=None, answer="secret"):
            pass
    return story


def test_no_text_is_exported_unasked() -> None:
    told = Told(a_secret_story().events)
    assert len(told.spans) == 7
    assert "secret" not in "".join(span.to_json() for span in told.spans)


def test_texts_are_exported_when_asked_for() -> None:
    told = Told(a_secret_story().events, content=True)
    run = of(told.named("invoke_agent rlm")[0])
    assert json.loads(run["gen_ai.output.messages"])[0]["parts"] == [
        {"type": "text", "content": "secret"}
    ]
    (chat,) = told.named("chat gpt-5-mini")
    assert [m["role"] for m in json.loads(of(chat)["gen_ai.input.messages"])] == ["system", "user"]
    (cell,) = told.named("execute_tool python")
    assert json.loads(of(cell)["gen_ai.tool.call.arguments"]) == {"code": "secret = 1"}
    (tool,) = told.named("execute_tool find")
    assert json.loads(of(tool)["gen_ai.tool.call.result"]) == ["secret"]


def test_content_holds_the_whole_prompt_of_each_turn() -> None:
    told = Told(a_whole_story().events, content=True)
    second = told.named("chat gpt-5-mini")[1]
    roles = [m["role"] for m in json.loads(of(second)["gen_ai.input.messages"])]
    assert roles == ["system", "user", "assistant", "user"]


def test_a_reader_made_within_a_span_continues_its_trace() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    with provider.get_tracer("web").start_as_current_span("request") as request:
        told = Told(a_whole_story().events)
        named = trace.set_span_in_context(request)
    provider.shutdown()
    root = told.named("invoke_agent rlm")[0]
    assert root.parent == request.get_span_context()
    root = Told(a_whole_story().events, parent=named).named("invoke_agent rlm")[0]
    assert root.parent == request.get_span_context()
    assert context.get_current() == {}


def test_concurrent_runs_are_separate_traces() -> None:
    first, second = a_whole_story("a").events, a_whole_story("b").events
    mixed = [event for pair in zip(first, second, strict=True) for event in pair]
    told = Told(mixed)
    assert len({span.context.trace_id for span in told.spans}) == 2
    assert len(told.spans) == 2 * len(Told(first).spans)


@settings(deadline=None, max_examples=60)
@given(end=st.integers(1, 200), lost=st.sets(st.integers(0, 200), max_size=6))
def test_every_span_ends_whatever_was_lost(end: int, lost: set[int]) -> None:
    events = [e for n, e in enumerate(a_whole_story().events[:end]) if n == 0 or n not in lost]
    told = Told(events)
    assert all(span.end_time for span in told.spans)
    assert told.named("invoke_agent rlm")


def test_what_a_stopped_run_left_open_ends_with_it() -> None:
    story = Story()
    with story.run(status="cancelled", answer=None), story.turn(), story.cell(), story.call():
        pass
    events = [event for event in story.events if event.type != "cell_finished"]
    told = Told([e for e in events if e.type != "sub_call_finished"])
    (cell,) = told.named("execute_tool python")
    (call,) = told.named("chat gpt-5-nano")
    (run,) = told.named("invoke_agent rlm")
    assert cell.end_time == call.end_time == run.end_time
    assert of(cell)["error.type"] == of(call)["error.type"] == "unfinished"
    assert of(run)["error.type"] == "cancelled"


def test_notes_are_events_of_the_span_they_are_about() -> None:
    told = Told(a_whole_story().events)
    root, _ = told.named("invoke_agent rlm")
    assert [(event.name, dict(event.attributes or {})) for event in root.events] == [
        ("rlm.restart", {"rlm.note": "The kernel died and was restarted."})
    ]


def test_backends_have_the_conventions_names() -> None:
    for backend, name in (
        ("gemini", "gcp.gemini"),
        ("azure_openai", "azure.ai.openai"),
        ("vllm", "vllm"),
    ):
        story = Story()
        with story.run(config={**CONFIG, "backend": backend}):
            pass
        (run,) = Told(story.events).spans
        assert of(run)["gen_ai.provider.name"] == name


def test_hostile_text_can_be_exported() -> None:
    story = Story()
    with (
        story.run(question="\ud800", answer="\udfff\x00", model="\ud800" * 500),
        story.turn("\ud800"),
        story.cell("\ud800", failure("\ud800" * 500, "x")),
        story.call({"\ud800": [float("nan")]}, "\udfff", model="\x1b[31m" + "m" * 5_000),
    ):
        story.note("\ud800" * 1000)
    for span in Told(story.events, content=True).spans:
        span.to_json().encode()
        assert len(span.name) <= 120


def test_without_opentelemetry_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from rlm.logger import OTelReader\n"
        "try: OTelReader()\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'rlm-kernel[otel]'" in done.stdout
