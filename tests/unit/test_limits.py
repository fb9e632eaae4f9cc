"""One object bounds a whole tree, before anything is sent."""

from __future__ import annotations

import pytest

from rlm import (
    BudgetExceededError,
    ErrorThresholdExceededError,
    TimeoutExceededError,
    TokenLimitExceededError,
)
from rlm.core.limits import ErrorStreak, Limits


def test_reservations_count_until_they_are_committed() -> None:
    limits = Limits(max_tokens=100)
    first = limits.reserve(60, 0)
    with pytest.raises(TokenLimitExceededError) as caught:
        limits.reserve(60, 0)
    assert caught.value.tokens_used == 0
    limits.commit(first, tokens=30)
    second = limits.reserve(60, 0)
    limits.commit(second)
    assert limits.tokens == 30


def test_money_is_reserved_too() -> None:
    limits = Limits(max_budget=1.0)
    limits.commit(limits.reserve(0, 0.4), cost=0.9)
    with pytest.raises(BudgetExceededError) as caught:
        limits.reserve(0, 0.2)
    assert caught.value.spent == pytest.approx(0.9)
    assert caught.value.budget == 1.0
    limits.reserve(0, 0.05)


def test_a_budget_that_is_used_up_or_nothing_allows_nothing() -> None:
    with pytest.raises(BudgetExceededError):
        Limits(max_budget=0.0).reserve(0, 0)
    limits = Limits(max_tokens=10)
    limits.commit(limits.reserve(0, 0), tokens=10)
    limits.check()
    with pytest.raises(TokenLimitExceededError):
        limits.reserve(0, 0)


def test_usage_beyond_a_limit_is_detected() -> None:
    limits = Limits(max_tokens=10)
    limits.commit(limits.reserve(1, 0), tokens=11)
    with pytest.raises(TokenLimitExceededError):
        limits.check()


def test_time_runs_from_the_start() -> None:
    limits = Limits(max_timeout=5.0, started=-1e9)
    assert limits.remaining == 0
    with pytest.raises(TimeoutExceededError) as caught:
        limits.reserve(0, 0)
    assert caught.value.timeout == 5.0


def test_without_a_limit_nothing_is_refused() -> None:
    limits = Limits()
    limits.commit(limits.reserve(1e12, 1e12), tokens=10**12, cost=1e12)
    limits.check()
    assert limits.remaining is None


def test_only_failures_in_a_row_count() -> None:
    streak = ErrorStreak(threshold=2)
    streak.turn("one")
    streak.turn(None)
    streak.turn("two")
    with pytest.raises(ErrorThresholdExceededError) as caught:
        streak.turn("three")
    assert (caught.value.error_count, caught.value.last_error) == (2, "three")
    unlimited = ErrorStreak()
    for _ in range(100):
        unlimited.turn("again")
