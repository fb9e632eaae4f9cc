from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from story import Story, a_whole_story

from rlm.events import Event, SubCallFinished, SubCallStarted
from rlm.formats.chrome_trace import chrome_trace
from rlm.trajectory import Trajectory

PHASES = {"X": {"dur", "cat", "args"}, "M": {"args"}, "C": {"args"}, "i": {"s", "args"}}
"""What each kind of event must have by the format, besides what all have."""


def valid(trace: dict[str, Any]) -> list[dict[str, Any]]:
    """Check a trace against the format, and that slices of one thread nest; return the events."""
    events: list[dict[str, Any]] = json.loads(json.dumps(trace, allow_nan=False))["traceEvents"]
    threads = defaultdict(list)
    for event in events:
        assert {"name", "ph", "pid", "tid", "ts"} | PHASES[event["ph"]] <= event.keys()
        assert all(isinstance(event[key], int) for key in ("pid", "tid", "ts"))
        assert event["ts"] >= 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
            threads[event["pid"], event["tid"]].append(event)
    for slices in threads.values():
        open_until: list[int] = []
        for each in sorted(slices, key=lambda each: (each["ts"], -each["dur"])):
            while open_until and open_until[-1] <= each["ts"]:
                open_until.pop()
            assert not open_until or each["ts"] + each["dur"] <= open_until[-1], each
            open_until.append(each["ts"] + each["dur"])
    return events


def slices(events: list[dict[str, Any]], category: str) -> list[dict[str, Any]]:
    return [event for event in events if event["ph"] == "X" and event["cat"] == category]


def concurrent(spans: list[tuple[float, float]]) -> Trajectory:
    """A run whose cell made sub-calls that began and ended at these times."""
    story = Story(start=0.0)
    with story.run(), story.turn(), story.cell():
        for _ in spans:
            with story.call():
                pass
    events: list[Event] = []
    waiting = iter(spans)
    times: dict[str, tuple[float, float]] = {}
    for event in story.events:
        if isinstance(event, SubCallStarted):
            times[event.id] = next(waiting)
            events.append(replace(event, time=times[event.id][0]))
        elif isinstance(event, SubCallFinished):
            events.append(replace(event, time=times[event.id][1]))
        else:
            events.append(event)
    return Trajectory.from_events(events)


def test_a_run_is_a_process_with_its_turns_and_cells_in_one_thread() -> None:
    events = valid(chrome_trace(Trajectory.from_events(a_whole_story().events)))
    assert [each["pid"] for each in slices(events, "run")] == [1, 2]
    main = [each for each in events if each["ph"] == "X" and (each["pid"], each["tid"]) == (1, 0)]
    assert [each["name"] for each in main] == [
        "run Who is the narrator?",
        "turn 1",
        "chat gpt-5-mini",
        "cell print(len(context))",
        "turn 2",
        "chat gpt-5-mini",
        "cell parts = [context[i:i+1000] for i in range(0, len(context), 1000)]",
    ]
    assert main[2]["args"]["input_tokens"] == 1200
    names = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names == {"run Who is the narrator?", "child gpt-5-mini"}
    assert [event["name"] for event in events if event["ph"] == "i"] == [
        "restart: The kernel died and was restarted."
    ]


def test_overlapping_sub_calls_have_separate_lanes() -> None:
    events = valid(chrome_trace(concurrent([(1, 4), (2, 3), (2, 5), (4, 6), (7, 8)])))
    assert [each["tid"] for each in slices(events, "llm")] == [1, 2, 3, 1, 1]
    counts = [event["args"]["sub-calls"] for event in events if event["ph"] == "C"]
    assert max(counts) == 3
    assert counts[-1] == 0


@settings(deadline=None)
@given(
    spans=st.lists(
        st.tuples(st.floats(0, 50), st.floats(0, 50)).map(lambda pair: tuple(sorted(pair))),
        max_size=30,
    )
)
def test_any_concurrency_is_a_valid_trace(spans: list[tuple[float, float]]) -> None:
    events = valid(chrome_trace(concurrent(spans)))
    assert len(slices(events, "llm")) == len(spans)


def test_unfinished_spans_end_with_the_last_event_and_say_so() -> None:
    events = a_whole_story().events
    for end in range(1, len(events)):
        traced = valid(chrome_trace(Trajectory.from_events(events[:end])))
        (run,) = [each for each in slices(traced, "run") if each["pid"] == 1]
        assert run["args"]["unfinished"] is True
    assert chrome_trace(Trajectory())["traceEvents"] == []


def test_texts_in_a_trace_are_short() -> None:
    story = Story()
    error = {"type": "BackendError", "message": "no"}
    with (
        story.run(answer="a" * 10_000, status="error", error=error),
        story.turn("r" * 10_000),
        story.cell("c" * 10_000),
        story.call("p" * 10_000, {"q": "q" * 10_000}, error="e"),
    ):
        pass
    trace = chrome_trace(Trajectory.from_events(story.events))
    valid(trace)
    assert len(json.dumps(trace)) < 6_000
    (run,) = slices(trace["traceEvents"], "run")
    assert run["args"]["error"] == error


def test_it_is_saved_by_its_suffix(tmp_path: Path) -> None:
    trajectory = Trajectory.from_events(a_whole_story().events)
    path = trajectory.save(tmp_path / "run.trace.json")
    assert valid(json.loads(path.read_text())) == chrome_trace(trajectory)["traceEvents"]
    assert trajectory.save(tmp_path / "run.html").read_text().startswith("<!doctype html>")
