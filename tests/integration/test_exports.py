"""What real, concurrent runs become: spans, a timeline, a page, a log that the reference reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rlm import RLMLogger
from rlm.logger import OTelReader
from rlm.render.page import fragment, page
from rlm.trajectory import load

if TYPE_CHECKING:
    from pathlib import Path

    from rlm.demo.server import LMRequest

ROOT = """\
I ask about all parts at once, and two children.
```repl
parts = llm_query_batched([f"part {n}" for n in range(8)])
children = rlm_query_batched(["first child", "second child"])
answer["content"] = f"{len(parts)} parts, {children}"
answer["ready"] = True
```"""
CHILD = """\
```repl
answer["content"] = llm_query(context)
answer["ready"] = True
```"""


@pytest.fixture
def environment() -> str:
    return "local"


def reply(request: LMRequest) -> str:
    return ROOT if "What is in it?" in str(request.messages) else CHILD


def test_every_export_tells_a_real_run(scripted: Any, tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    reader = OTelReader(tracer_provider=provider)
    logger = RLMLogger(tmp_path)
    rlm = scripted(reply, str.upper, latency=0.2, max_depth=2, logger=[reader, logger])
    result = rlm.completion("a long text", root_prompt="What is in it?")
    rlm.close()
    assert result.answer == "8 parts, ['FIRST CHILD', 'SECOND CHILD']"

    spans = {span.context.span_id: span for span in exporter.get_finished_spans()}
    calls = [span for span in spans.values() if span.name == "chat m"]
    assert len(calls) == 8 + 2 + 3
    cells = [span for span in spans.values() if span.name == "execute_tool python"]
    (cell,) = [span for span in cells if above(span, spans, 2) is None]
    plain = [span for span in calls if span.parent and span.parent.span_id == cell.context.span_id]
    assert len(plain) == 8
    # All of them were under way at once.
    assert max(span.start_time for span in plain) < min(span.end_time for span in plain)
    children = [s for s in spans.values() if s.name == "invoke_agent rlm" and s.parent]
    assert [above(child, spans, 2).name for child in children] == ["execute_tool python"] * 2
    assert len({span.context.trace_id for span in spans.values()}) == 1
    provider.shutdown()

    trace = json.loads(result.save(tmp_path / "run.trace.json").read_text())["traceEvents"]
    slices = [each for each in trace if each["ph"] == "X" and each["cat"] == "llm"]
    assert {each["tid"] for each in slices if each["pid"] == 1} == set(range(1, 9))
    assert max(e["args"]["sub-calls"] for e in trace if e["ph"] == "C") == 8

    for html in (page(result.trajectory), fragment(result.trajectory)):
        assert "What is in it?" in html
        assert "llm_query x 8" in html
        assert "SECOND CHILD" in html

    log = result.save(tmp_path / "run.jsonl")
    assert logger.log_file_path is not None
    again = load(logger.log_file_path).save(tmp_path / "again.jsonl")
    assert again.read_bytes() == log.read_bytes()
    as_the_references_types_promise(log.read_text())


def above(span: Any, spans: dict[int, Any], levels: int) -> Any:
    """Return the span that stands so many levels above another; None when there is none."""
    for _ in range(levels):
        span = None if span is None or span.parent is None else spans.get(span.parent.span_id)
    return span


def as_the_references_types_promise(log: str) -> None:
    """Check what the reference's visualizer takes for granted: its `types.ts`."""
    entries = [json.loads(line) for line in log.strip().split("\n")]
    (config,) = [entry for entry in entries if entry["type"] == "metadata"]
    assert config["root_model"] == "m"
    for entry in entries[1:]:
        assert isinstance(entry["iteration"], int)
        assert all(isinstance(message["content"], str) for message in entry["prompt"])
        for block in entry["code_blocks"]:
            result = block["result"]
            assert {"stdout", "stderr", "locals", "execution_time", "rlm_calls"} <= result.keys()
            assert result["locals"]["context"] == "<a str of 11 characters>"
            for call in result["rlm_calls"]:
                assert {"prompt", "response", "execution_time"} <= call.keys()
    calls = entries[1]["code_blocks"][0]["result"]["rlm_calls"]
    assert [call["prompt"] for call in calls[:8]] == [f"part {number}" for number in range(8)]
    assert sum("metadata" in call for call in calls) == 2
    assert entries[-1]["final_answer"].startswith("8 parts")
