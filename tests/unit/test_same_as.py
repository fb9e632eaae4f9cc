"""Two runs are the same when only times, ids and the order of concurrent calls differ."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from story import Story, a_whole_story, failure, stdout

from rlm.events import CellOutput, Event, ModelReply, Note, RunFinished, SubCallFinished
from rlm.trajectory import Trajectory
from rlm.trajectory.comparison import MAX_DIFFERENCES, compare_outputs
from rlm_kernel.recorded_calls import masked


def told(story: Story) -> Trajectory:
    return Trajectory.from_events(story.events)


def changed(kind: type[Event], **fields: Any) -> Trajectory:
    """The whole story, in which the first event of a kind says something else."""
    events = list(a_whole_story().events)
    index = next(i for i, event in enumerate(events) if isinstance(event, kind))
    events[index] = replace(events[index], **fields)
    return Trajectory.from_events(events)


def test_other_ids_and_times_do_not_count_as_a_difference() -> None:
    first = told(a_whole_story("a"))
    later = [replace(event, time=event.time * 2) for event in a_whole_story("b").events]
    same = first.same_as(Trajectory.from_events(later))
    assert same, str(same)
    assert str(same) == "the same"


@given(st.randoms(use_true_random=False))
def test_concurrent_calls_may_come_in_any_order(order: random.Random) -> None:
    def story(numbers: list[int]) -> Trajectory:
        tale = Story()
        with tale.run(), tale.turn(), tale.cell():
            for number in numbers:
                with tale.call(f"Part {number % 4}", f"Reply {number}"):
                    pass
        return told(tale)

    numbers = list(range(12))
    shuffled = list(numbers)
    order.shuffle(shuffled)
    assert story(numbers).same_as(story(shuffled))


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        (ModelReply, {"text": "Something else."}, "turn 1, reply 1, text"),
        (CellOutput, {"output": stdout("11\n")}, "turn 1, cell 1, outputs, stdout"),
        (SubCallFinished, {"response": "No."}, "turn 2, cell 1, sub-call"),
        (RunFinished, {"answer": "Two."}, "answer: 'One.' / 'Two.'"),
    ],
)
def test_what_differs_is_said_with_its_place(
    kind: type[Event], fields: dict[str, Any], says: str
) -> None:
    same = told(a_whole_story()).same_as(changed(kind, **fields))
    assert not same
    assert says in str(same)


def test_a_run_that_stopped_earlier_differs() -> None:
    events = a_whole_story().events
    same = told(a_whole_story()).same_as(Trajectory.from_events(events[: len(events) // 2]))
    assert not same
    assert len(same.differences) <= MAX_DIFFERENCES + 1


def test_an_empty_trajectory_equals_only_an_empty_one() -> None:
    assert Trajectory().same_as(Trajectory())
    assert not Trajectory().same_as(told(a_whole_story()))


def test_retries_do_not_count_and_other_notes_do() -> None:
    def story(*notes: tuple[str, str]) -> Trajectory:
        tale = Story()
        with tale.run(), tale.turn():
            for text, kind in notes:
                tale.note(text, kind)
        return told(tale)

    assert story(("Asking again.", "retry")).same_as(story())
    assert not story(("The kernel was lost.", "restart")).same_as(story())


def test_streams_are_compared_whole_and_apart() -> None:
    error = {"output_type": "stream", "name": "stderr", "text": "careful\n"}
    first = [stdout("a\n"), error, stdout("b\n")]
    second = [stdout("a\nb\n"), error]
    assert compare_outputs(first, second) == ()
    assert compare_outputs(first, [stdout("a\nc\n"), error]) == ("stdout: line 2: 'b' / 'c'",)
    assert compare_outputs([failure()], [failure(value="other")])


def test_addresses_and_temporary_names_are_noise() -> None:
    one = "<Foo object at 0x7f3a5c1e2d90>\n/tmp/ipykernel_123/456.py:1: DeprecationWarning"
    two = "<Foo object at 0x7fffac1e0010>\n/tmp/ipykernel_99/1.py:1: DeprecationWarning"
    assert masked(one) == masked(two)
    assert masked("0x1f and 12:30") == "0x1f and 12:30"


def test_a_note_of_a_limit_is_the_same_whatever_the_clock_said() -> None:
    def story(seconds: float) -> Trajectory:
        tale = Story()
        with tale.run(status="limit", error={"type": "TimeoutExceededError", "message": "x"}):
            tale.note(f"Timeout exceeded: {seconds} s of 1.0 s.", "limit")
            note = tale.events[-1]
            assert isinstance(note, Note)
            tale.events[-1] = replace(note, data={"elapsed": seconds, "timeout": 1.0})
        return told(tale)

    assert story(1.2).same_as(story(1.4))
