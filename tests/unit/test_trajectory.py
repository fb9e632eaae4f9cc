"""Events become a tree, and files, and events again."""

from __future__ import annotations

import json
import threading
import tracemalloc
from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from story import Story, a_whole_story, failure, stdout

from rlm.errors import ConfigurationError, RLMError
from rlm.events import (
    EVENT_TYPES,
    CallUsage,
    CellStatus,
    Event,
    Message,
    ModelReply,
    NoteKind,
    RunStarted,
    RunStatus,
    SubCallKind,
)
from rlm.trajectory import (
    SUFFIXES,
    CellNode,
    Redaction,
    RunNode,
    Trajectory,
    TrajectoryError,
    TurnNode,
    event_from_dict,
    event_to_dict,
    format_of,
    load,
    redacted_event,
    save,
)

if TYPE_CHECKING:
    from pathlib import Path

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
# Few ids, so that events do meet; some of them in ways that no engine would tell.
IDS = st.sampled_from(["a", "b", "c", "d", "e"])
TEXT = st.text(max_size=20)
ANY_TEXT = st.text(st.characters(), max_size=20)  # lone surrogates included
DURATION = st.floats(0, 1e6)
USAGE = st.builds(
    CallUsage,
    input_tokens=st.none() | st.integers(0, 10**6),
    output_tokens=st.none() | st.integers(0, 10**6),
    cost=st.none() | st.floats(0, 10),
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, 100),
    float: DURATION,
    str: ANY_TEXT,
    Any: JSON,
    CallUsage: USAGE,
    dict[str, Any]: OBJECT,
    dict[str, str] | None: st.none() | st.dictionaries(TEXT, TEXT, max_size=2),
    dict[str, dict[str, str]]: st.dictionaries(
        TEXT, st.fixed_dictionaries({"type": TEXT, "preview": TEXT}), max_size=2
    ),
    tuple[Message, ...]: st.lists(OBJECT, max_size=3).map(tuple),
    str | None: st.none() | ANY_TEXT,
    int | None: st.none() | st.integers(0, 100),
    **{
        literal: st.sampled_from(get_args(literal))
        for literal in (RunStatus, CellStatus, SubCallKind, NoteKind)
    },
    get_type_hints(ModelReply)["purpose"]: st.sampled_from(["turn", "compaction"]),
}


def any_event(cls: type[Event]) -> st.SearchStrategy[Event]:
    hints = {k: h for k, h in get_type_hints(cls).items() if k != "type"}
    fields = {name: VALUES[hint] for name, hint in hints.items()}
    fields |= {"id": IDS, "parent_id": st.none() | IDS, "run_id": IDS}
    return st.builds(cls, **fields)


EVENTS = st.lists(st.one_of([any_event(cls) for cls in EVENT_TYPES.values()]), max_size=30)


@given(EVENTS)
def test_any_events_survive_a_dictionary_and_json_text(events: list[Event]) -> None:
    data = Trajectory.from_events(events).to_dict()
    assert Trajectory.from_dict(data).events == tuple(events)
    assert Trajectory.from_dict(json.loads(json.dumps(data))).events == tuple(events)


@given(st.permutations(a_whole_story().events), st.integers(0, 200))
def test_a_run_that_lost_or_shuffled_events_still_opens(events: list[Event], end: int) -> None:
    trajectory = Trajectory.from_events(events[:end])
    assert len(trajectory) == len(events[:end])
    assert (trajectory.root is None) == (trajectory.usage is None)
    if trajectory.root is not None:
        for run in trajectory.root.walk():
            assert all(turn.messages for turn in run.turns)


def test_every_prefix_of_a_run_folds_and_ends_as_the_run() -> None:
    events = a_whole_story().events
    live = Trajectory()
    for number, event in enumerate(events):
        live.add(event)
        prefix = Trajectory.from_events(events[: number + 1])
        assert prefix.counts == live.counts
        assert prefix.usage == live.usage
    assert live.counts == {"turns": 3, "cells": 3, "sub_calls": 19, "children": 1}


def the_run(story: Story) -> RunNode:
    root = Trajectory.from_events(story.events).root
    assert root is not None
    return root


def test_every_node_has_the_right_parent() -> None:
    run = the_run(a_whole_story())
    first, second = run.turns
    assert first.reply is not None
    assert first.reply.text.startswith("I look")
    (cell,) = first.cells
    assert cell.outputs == [stdout("10485760\n"), failure()]
    assert [note.text for note in second.notes] == ["The kernel died and was restarted."]
    calls = second.cells[0].sub_calls
    assert [call.name for call in calls[15:]] == ["llm_query", "find", "rlm_query"]
    child = calls[-1].child
    assert child is not None
    assert (child.started.depth, child.answer) == (1, "One.")
    assert run.children == [child]
    assert second.sub_calls == run.sub_calls == calls


def test_a_node_is_there_and_pending_from_its_start_on() -> None:
    story = Story()
    with story.run() as run_id, story.turn() as turn_id, story.cell() as cell_id:
        trajectory = Trajectory.from_events(story.events)
    run, turn, cell = map(trajectory.node, (run_id, turn_id, cell_id))
    assert isinstance(run, RunNode)
    assert isinstance(turn, TurnNode)
    assert isinstance(cell, CellNode)
    assert run.pending
    assert turn.pending
    assert cell.pending
    assert run.answer is None
    for event in story.events:
        trajectory.add(event)
    assert not run.pending
    assert not turn.pending
    assert not cell.pending
    assert len(run.turns) == 1, "a start told twice makes no second node"


def test_a_turns_whole_prompt_is_rebuilt_from_what_each_turn_added() -> None:
    system, ask, said, more, summary = (
        {"role": "user", "content": text} for text in ("system", "ask", "said", "more", "summary")
    )
    story = Story()
    with story.run():
        with story.turn(messages=(system, ask)):
            pass
        with story.turn(number=2, kept=2, messages=(said, more)):
            pass
        with story.turn(number=3, kept=4, messages=(ask,)):
            pass
        with story.turn(number=4, kept=1, messages=(summary,)):
            pass
        with story.turn(number=5, kept=2, messages=(more,)):
            pass
    prompts = [turn.messages for turn in the_run(story).turns]
    assert prompts == [
        [system, ask],
        [system, ask, said, more],
        [system, ask, said, more, ask],
        [system, summary],
        [system, summary, more],
    ]


def test_usage_is_counted_for_the_run_alone_and_with_its_children() -> None:
    run = the_run(a_whole_story())
    own, tree = run.own_usage, run.usage
    # Fifteen of sixteen plain calls were answered; the tool and the child itself are no LM calls.
    assert own.model_usage_summaries["gpt-5-nano"].total_calls == 15
    assert own.model_usage_summaries["gpt-5-mini"].total_calls == 2
    assert tree.model_usage_summaries["gpt-5-nano"].total_calls == 16
    assert tree.model_usage_summaries["gpt-5-mini"].total_input_tokens == 3600
    assert tree.total_output_tokens == 3 * 80 + 16 * 10
    assert tree.total_cost == pytest.approx(3 * 0.001 + 16 * 0.0001)
    own.model_usage_summaries.clear()
    assert run.own_usage.total_calls == 17, "what was given out is the caller's"


def test_an_unknown_cost_is_none() -> None:
    story = Story()
    with story.run(), story.turn(usage=CallUsage(input_tokens=5)):
        pass
    usage = the_run(story).usage
    assert usage.total_cost is None
    assert usage.total_input_tokens == 5


def test_a_cost_that_leaves_calls_out_is_partial() -> None:
    story = Story()
    with story.run():
        for cost in (0.5, None):
            with story.turn(usage=CallUsage(input_tokens=5, cost=cost)):
                assert the_run(story).usage.cost_is_partial == (cost is None)
    usage = the_run(story).usage
    assert usage.total_cost == 0.5
    assert usage.model_usage_summaries["gpt-5-mini"].uncosted_calls == 1


def test_a_second_root_does_not_disturb_the_first() -> None:
    trajectory = Trajectory.from_events(a_whole_story("one").events)
    counts = trajectory.counts
    for event in a_whole_story("two").events:
        trajectory.add(event)
    assert trajectory.root is not None
    assert trajectory.root.started.id == "one-1"
    assert trajectory.counts == counts


def test_threads_may_add_at_once() -> None:
    story = Story()
    with story.run(), story.turn(), story.cell():
        head = list(story.events)
        for _ in range(400):
            with story.call():
                pass
    calls = [event for event in story.events if event.type.startswith("sub_call")]
    trajectory = Trajectory.from_events(head)
    halves = calls[: len(calls) // 2], calls[len(calls) // 2 :]
    threads = [
        threading.Thread(target=lambda part=part: [trajectory.add(event) for event in part])
        for part in halves
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trajectory.counts["sub_calls"] == 400
    assert trajectory.usage is not None
    assert trajectory.usage.model_usage_summaries["gpt-5-nano"].total_calls == 400


def test_a_trajectory_says_what_it_is() -> None:
    assert repr(Trajectory()) == "<Trajectory: no events>"
    text = repr(Trajectory.from_events(a_whole_story().events))
    assert text.startswith("<Trajectory of gpt-5-mini: answered; 3 turns")


def a_start(**changes: Any) -> dict[str, Any]:
    data = event_to_dict(a_whole_story().events[0]) | changes
    return {key: value for key, value in data.items() if value is not ...}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "A trajectory is"),
        ({"schema": 1}, "A trajectory is"),
        ({"schema": 2, "events": []}, "schema 2; this version reads 1 only. A newer version"),
        ({"schema": 0, "events": []}, "schema 0; this version reads 1 only. An older version"),
        ({"schema": True, "events": []}, "schema True; this version reads 1 only. It was changed"),
        ({"schema": "1", "events": []}, "schema '1'; this version reads 1 only. It was changed"),
        ({"schema": 1, "events": {}}, "events are a list, not dict"),
        ({"schema": 1, "events": [None]}, "Event 0 of the trajectory: An event is an object"),
        ({"schema": 1, "events": [{"type": "x"}]}, "Unknown event type 'x'; known: run_started"),
        ({"schema": 1, "events": [{"type": []}]}, "Unknown event type"),
        ({"schema": 1, "events": [a_start(depth=...)]}, "A run_started event lacks depth"),
        ({"schema": 1, "events": [a_start(colour=1)]}, "unknown fields: colour"),
        ({"schema": 1, "events": [a_start(depth="0")]}, "depth: expected a value of type int"),
        ({"schema": 1, "events": [a_start(time=True)]}, "time: expected a number, not True"),
        ({"schema": 1, "events": [a_start(time=float("nan"))]}, "time: expected a time"),
        ({"schema": 1, "events": [a_start(time=1e300)]}, "time: expected a time"),
        ({"schema": 1, "events": [a_start(time=10**400)]}, "time: expected a time"),
        ({"schema": 1, "events": [a_start(config=[])]}, "config: expected an object, not list"),
    ],
)
def test_a_file_that_is_no_trajectory_is_refused_with_the_place(data: object, says: str) -> None:
    with pytest.raises(TrajectoryError) as caught:
        Trajectory.from_dict(data)
    assert says in str(caught.value)
    assert isinstance(caught.value, RLMError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("run_finished", "status", "splendid"),
        ("turn_started", "messages", "hello"),
        ("turn_started", "messages", ["hello"]),
        ("model_reply", "usage", {"tokens": 1}),
        ("model_reply", "usage", None),
        ("cell_finished", "variables", {"x": 1}),
        ("cell_output", "output", None),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused_by_name(kind: str, field: str, value: Any) -> None:
    event = next(event for event in a_whole_story().events if event.type == kind)
    with pytest.raises(TrajectoryError, match=f"In a {kind} event, {field}: expected"):
        event_from_dict(event_to_dict(event) | {field: value})


def test_a_json_file_holds_everything(tmp_path: Path) -> None:
    story = a_whole_story()
    story.events.append(
        RunStarted(
            id="x",
            parent_id=None,
            run_id="x",
            time=1.0,
            depth=0,
            model="\ud800 é \u2028",
            config={},
            root_prompt=None,
            context={},
        )
    )
    trajectory = Trajectory.from_events(story.events)
    path = trajectory.save(tmp_path / "new" / "run.json")
    assert load(path).events == tuple(map(redacted_event, trajectory.events))
    assert load(path).events == Trajectory.load(path).events
    assert [file.name for file in path.parent.iterdir()] == ["run.json"], "nothing is left over"
    assert len(path.read_text().splitlines()) == 1


def test_a_saved_log_has_the_references_format(tmp_path: Path) -> None:
    path = save(Trajectory.from_events(a_whole_story().events), tmp_path / "run.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["type"] for line in lines] == ["metadata", "iteration", "iteration"]


def test_other_suffixes_are_refused_with_those_allowed(tmp_path: Path) -> None:
    trajectory = Trajectory.from_events(a_whole_story().events)
    with pytest.raises(ConfigurationError, match=r"must be one of \.json .* \.jsonl"):
        trajectory.save(tmp_path / "run.txt")
    with pytest.raises(ConfigurationError, match=r"Cannot load .* must be one of \.json "):
        load(tmp_path / "run.txt")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_trajectory_cannot_be_saved_as_a_log(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryError, match="no run was started"):
        Trajectory().save(tmp_path / "run.jsonl")
    Trajectory().save(tmp_path / "run.json")
    assert load(tmp_path / "run.json").events == ()


def test_a_file_that_is_no_trajectory_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    for content in (b"{", b"\xff", b"[" * 100_000, b'{"schema": 3, "events": []}'):
        path.write_bytes(content)
        with pytest.raises(TrajectoryError, match=r"run\.json"):
            load(path)


def test_no_key_of_the_configuration_is_in_a_file(tmp_path: Path) -> None:
    trajectory = Trajectory.from_events(a_whole_story().events)
    for suffix in SUFFIXES:
        assert "sk-aaaa" not in trajectory.save(tmp_path / f"run{suffix}").read_text()


def test_redact_is_called_with_every_text_of_every_event(tmp_path: Path) -> None:
    trajectory = Trajectory.from_events(a_whole_story().events)

    def redact(text: str) -> str:
        return text.replace("Ishmael", "[name]").replace("whale", "[animal]")

    for suffix in SUFFIXES:
        path = trajectory.save(tmp_path / f"run{suffix}", redact=redact)
        text = path.read_text()
        assert "[name]" in text
        assert "Ishmael" not in text
        assert "whale" not in text
    kept = load(tmp_path / "run.json")
    assert kept.counts == trajectory.counts
    assert kept.root is not None
    assert kept.root.answer == "[name]"
    assert "Ishmael" in str(trajectory.events), "the record itself is as it was"


@pytest.mark.parametrize(
    ("context", "restorable"),
    [
        ({"form": "text", "value": "my name is Bond"}, False),
        ({"form": "text", "value": "no name"}, True),
        ({"form": "json", "value": {"a": ["Bond"]}}, False),
        ({"form": "bytes", "value": "bXkgbmFtZSBpcyBCb25k"}, False),
        ({"form": "bytes", "value": "bm8gbmFtZQ=="}, True),
    ],
)
def test_a_context_that_redact_changes_cannot_be_restored(
    context: dict[str, Any], restorable: bool
) -> None:
    event = replace(next(iter(a_whole_story().events)), context={"sha256": "00", **context})
    kept = redacted_event(event, lambda text: text.replace("Bond", "***"))
    assert isinstance(kept, RunStarted)
    assert ("value" in kept.context) == restorable
    assert kept.context["sha256"] == "00"


def test_a_name_with_two_suffixes_is_the_longer_ones() -> None:
    found = format_of("RUN.JSONL")
    assert found is not None
    assert found.suffix == ".jsonl"
    assert format_of("run.json.txt") is None


def test_an_event_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    asked = next(e for e in a_whole_story().events if e.type == "sub_call_started")
    with pytest.raises(TrajectoryError, match="nested more than 200 levels"):
        event_from_dict({**event_to_dict(asked), "prompt": deep})


def test_bytes_that_hold_a_secret_are_not_kept_wherever_in_them_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "planted-é-0123456789")
    secret = "planted-é-0123456789".encode()
    assert not Redaction().keeps(b"\xff\xc3" + secret + b"\xc3\x00")
    assert Redaction().keeps(b"\xff\xc3" + secret[:-1])
    assert not Redaction(str.lower).keeps(b"\xff Bond")
    assert Redaction(str.lower).keeps(b"\xff bond")


@pytest.mark.parametrize(("text", "restorable"), [("planted-0123456789", False), ("x", True)])
def test_a_binary_context_in_an_event_is_looked_through_as_well(
    text: str, restorable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "planted-0123456789")
    value = b64encode(b"\xff" * 500 + text.encode()).decode()
    context = {"form": "bytes", "sha256": "00", "value": value}
    kept = Redaction()(replace(next(iter(a_whole_story().events)), context=context))
    assert isinstance(kept, RunStarted)
    assert ("value" in kept.context) == restorable


def test_a_long_binary_context_is_looked_through_without_a_copy_of_it() -> None:
    data = b"\xff\x00ab" * 1_000_000
    redaction = Redaction()
    tracemalloc.start()
    try:
        assert redaction.keeps(data)
        assert tracemalloc.get_traced_memory()[1] < len(data) // 100
    finally:
        tracemalloc.stop()
