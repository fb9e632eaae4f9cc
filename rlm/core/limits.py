"""The limits of a whole tree: one object, checked before anything is sent.

Each call first reserves an estimate and then commits the provider's count, so that many calls at
once cannot overspend together.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rlm.errors import (
    BudgetExceededError,
    ErrorThresholdExceededError,
    LimitExceededError,
    ReplayMissError,
    TimeoutExceededError,
    TokenLimitExceededError,
    UnknownCostError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """An estimate of what a call will take, set aside while it is under way.

    Attributes:
        tokens: Input and output together.
        cost: USD.
    """

    tokens: float
    cost: float


@dataclass(slots=True, kw_only=True)
class Limits:
    """Money, tokens and time of one tree.

    Attributes:
        max_budget: USD; None is no limit.
        max_tokens: Input and output together; None is no limit.
        max_timeout: Seconds from `started`; None is no limit.
        started: When `completion()` was called (`time.perf_counter`).
        spent: USD so far.
        tokens: Tokens so far.
        cost_unknown: Why `max_budget` can no longer be kept: the cost of a call is not known.
        exceeded_by: The error that ended the tree; after it nothing may be sent.
    """

    max_budget: float | None = None
    max_tokens: int | None = None
    max_timeout: float | None = None
    started: float = field(default_factory=time.perf_counter)
    spent: float = 0.0
    tokens: int = 0
    cost_unknown: UnknownCostError | None = None
    exceeded_by: LimitExceededError | UnknownCostError | ReplayMissError | None = None
    _reserved_cost: float = 0.0
    _reserved_tokens: float = 0.0

    @property
    def bounded(self) -> bool:
        """Whether money or tokens are limited at all."""
        return self.max_budget is not None or self.max_tokens is not None

    @property
    def elapsed(self) -> float:
        """Seconds since `started`."""
        return time.perf_counter() - self.started

    @property
    def remaining(self) -> float | None:
        """Seconds left, at least 0; None without a limit."""
        return None if self.max_timeout is None else max(0.0, self.max_timeout - self.elapsed)

    def reserve(self, tokens: float, cost: float, *, sure: float = 1.0) -> Reservation:
        """Set an estimate aside before a call is sent.

        Args:
            tokens: Input and output together.
            cost: USD.
            sure: The share of the estimate that the call takes at least. Only this share must
                still fit, so that a bad guess does not refuse a call that could.

        Raises:
            LimitExceededError: Not enough is left; nothing must be sent.
            UnknownCostError: There is a budget, and the cost of an earlier call is not known.
        """
        self.check()
        if self.max_budget is not None:
            committed = self.spent + self._reserved_cost
            if committed >= self.max_budget or committed + cost * sure > self.max_budget:
                raise BudgetExceededError(
                    self.spent,
                    self.max_budget,
                    f"Budget exceeded: the next call would cost about ${cost:.6f}, and "
                    f"${committed:.6f} of ${self.max_budget:.6f} are spent or under way.",
                )
        if self.max_tokens is not None:
            taken = self.tokens + self._reserved_tokens
            if taken >= self.max_tokens or taken + tokens * sure > self.max_tokens:
                raise TokenLimitExceededError(
                    self.tokens,
                    self.max_tokens,
                    message=f"Token limit exceeded: the next call would take about "
                    f"{tokens:,.0f} tokens, and {taken:,.0f} of {self.max_tokens:,} are used or "
                    "under way.",
                )
        self._reserved_tokens += tokens
        self._reserved_cost += cost
        return Reservation(tokens=tokens, cost=cost)

    def commit(self, reservation: Reservation, *, tokens: int = 0, cost: float = 0.0) -> None:
        """Replace an estimate by the tokens and USD that the call took; 0 if it failed."""
        self._reserved_tokens = max(0.0, self._reserved_tokens - reservation.tokens)
        self._reserved_cost = max(0.0, self._reserved_cost - reservation.cost)
        self.tokens += tokens
        self.spent += cost

    def check(self) -> None:
        """Check that no limit has been exceeded.

        Raises:
            LimitExceededError: One has.
            UnknownCostError: There is a budget, and the cost of an earlier call is not known.
        """
        if self.exceeded_by is not None:
            raise self.exceeded_by
        if self.cost_unknown is not None:
            raise self.cost_unknown
        if self.max_budget is not None and self.spent > self.max_budget:
            raise BudgetExceededError(self.spent, self.max_budget)
        if self.max_tokens is not None and self.tokens > self.max_tokens:
            raise TokenLimitExceededError(self.tokens, self.max_tokens)
        if self.max_timeout is not None and self.elapsed > self.max_timeout:
            raise self.timeout_error()

    def timeout_error(self) -> LimitExceededError:
        """Return the error for a tree whose time is up."""
        assert self.max_timeout is not None
        return TimeoutExceededError(max(self.elapsed, self.max_timeout), self.max_timeout)


@dataclass(slots=True, kw_only=True)
class ErrorStreak:
    """Counts the consecutive failing turns of one run.

    Attributes:
        threshold: How many end the run; None is no limit.
        count: How many turns in a row have failed so far.
    """

    threshold: int | None = None
    count: int = 0

    def turn(self, error: str | None) -> None:
        """Count a turn; `error` says how it failed, None means that it did not.

        Raises:
            ErrorThresholdExceededError: `threshold` turns in a row have failed.
        """
        self.count = self.count + 1 if error is not None else 0
        if self.threshold is not None and self.count >= self.threshold:
            raise ErrorThresholdExceededError(self.count, self.threshold, error)
