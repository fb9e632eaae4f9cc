"""Recorded calls are found by what was asked, in whatever order that happens."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_kernel.recorded_calls import (
    RecordedCall,
    RecordedCalls,
    code_digest,
    difference,
    digest,
    likeness,
    masked,
)

PROMPTS: st.SearchStrategy[Any] = st.text(max_size=8) | st.lists(
    st.fixed_dictionaries({"role": st.just("user"), "content": st.text(max_size=5)}), max_size=2
)
CALLS = st.lists(st.tuples(st.sampled_from(["llm", "tool"]), st.sampled_from("ab"), PROMPTS))


def recorded(*calls: tuple[str, str, Any], used: set[int] | None = None) -> RecordedCalls:
    return RecordedCalls(
        [
            RecordedCall.of(kind, model, prompt, place="turn 1, cell 1", outcome=number)
            for number, (kind, model, prompt) in enumerate(calls)
        ],
        used,
    )


@given(CALLS, st.randoms(use_true_random=False))
def test_every_call_is_answered_once_in_any_order(
    calls: list[tuple[str, str, Any]], order: random.Random
) -> None:
    log = recorded(*calls)
    asked = list(calls)
    order.shuffle(asked)
    outcomes: dict[str, list[int]] = {}
    for call in asked:
        found = log.take(*call)
        assert found is not None
        outcomes.setdefault(masked(str(call)), []).append(found.outcome)
    assert sorted(n for numbers in outcomes.values() for n in numbers) == list(range(len(calls)))
    assert all(log.take(*call) is None for call in calls)


@given(CALLS)
def test_equal_calls_are_answered_in_their_order(calls: list[tuple[str, str, Any]]) -> None:
    log = recorded(*calls)
    seen: dict[str, int] = {}
    for call in calls:
        found = log.take(*call)
        assert found is not None
        key = digest(*call)
        assert found.outcome > seen.get(key, -1)
        seen[key] = found.outcome


def test_model_kind_and_prompt_all_count() -> None:
    log = recorded(("llm", "m", "x"))
    assert log.take("llm", "other", "x") is None
    assert log.take("rlm", "m", "x") is None
    assert log.take("llm", "m", "y") is None
    assert log.take("llm", "m", "x") is not None


def test_an_object_address_in_a_prompt_does_not_count() -> None:
    log = recorded(("llm", "m", "what is <A at 0x7f0000000010>?"))
    assert log.take("llm", "m", "what is <A at 0x7f1111111110>?") is not None


def test_collections_that_overlap_share_what_is_used() -> None:
    used: set[int] = set()
    call = RecordedCall.of("llm", "m", "x", place="", outcome=1)
    here, everywhere = RecordedCalls([call], used), RecordedCalls([call], used)
    assert here.take("llm", "m", "x") is call
    assert everywhere.take("llm", "m", "x") is None


def test_the_nearest_prompt_is_the_most_alike_and_unused_ones_come_first() -> None:
    task = "Summarise this part of the report. " * 50
    log = recorded(*(("llm", "m", f"{task}Part {number}") for number in (1, 22, 333)))
    found = log.nearest("llm", f"{task}Part 23")
    assert found is not None
    call, alike = found
    assert call.text.endswith("Part 22")
    assert 0.99 < alike < 1
    log.use(call)
    other = log.nearest("llm", f"{task}Part 23")
    assert other is not None
    assert other[0] is not call
    assert log.nearest("rlm", "Part 23") is None


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("llm", "m", "same"), "the log has this call 2 times, and no more often"),
        (("llm", "n", "same"), "the log has it to 'm' and not to 'n'"),
        (("tool", "find", {}), "the log has no such call there"),
        (("llm", "m", "sane"), "recorded: 'same'"),
    ],
)
def test_a_miss_is_explained(asked: tuple[str, str, Any], says: str) -> None:
    log = recorded(("llm", "m", "same"), ("llm", "m", "same"))
    while log.take("llm", "m", "same"):
        pass
    assert says in log.why_not(*asked)


@given(st.text(max_size=60), st.text(max_size=60))
def test_similarity_is_1_for_equal_texts_only(one: str, two: str) -> None:
    assert likeness(one, one) == 1
    assert 0 <= likeness(one, two) <= 1
    if one != two:
        assert likeness(one, two) < 1
        assert difference(one, two)


def test_a_long_difference_is_shown_around_its_place() -> None:
    shown = difference("a" * 500 + "X" + "b" * 500, "a" * 500 + "Y" + "b" * 500)
    assert len(shown) < 300
    assert "X" in shown
    assert "Y" in shown


def test_a_cell_is_recognised_whatever_blanks_surround_it() -> None:
    assert code_digest("print(1)\n") == code_digest("\nprint(1)  ")
    assert code_digest("print(1)") != code_digest("print(2)")
