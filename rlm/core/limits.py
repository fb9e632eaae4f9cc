"""The limits of a whole tree: one object, asked before anything is sent.

An estimate reserves, the provider's count is committed. So a fan-out of calls cannot
overspend together what each alone could have afforded.
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
    """What a call that is under way may take.

    Attributes:
        tokens: Input and output together, estimated.
        cost: USD, estimated.
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
        started: When the run was asked for (`time.perf_counter`).
        spent: USD so far.
        tokens: Tokens so far.
        cost_unknown: Why `max_budget` cannot be kept any more: a call's cost is not known.
        exceeded_by: What ended the tree; from then on nothing may be sent.
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
        """Seconds since the run was asked for."""
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
            sure: The part of the estimate that the call takes at the very least. It alone must be
                there, so that a bad guess does not refuse what could fit.

        Raises:
            LimitExceededError: It is not there any more; nothing must be sent.
            UnknownCostError: There is a budget, and nobody knows what is left of it.
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
        """Replace an estimate by what the call took; nothing, when it failed.

        Args:
            reservation: What `reserve` returned.
            tokens: Input and output together.
            cost: USD.
        """
        self._reserved_tokens = max(0.0, self._reserved_tokens - reservation.tokens)
        self._reserved_cost = max(0.0, self._reserved_cost - reservation.cost)
        self.tokens += tokens
        self.spent += cost

    def check(self) -> None:
        """Make sure that no limit has been exceeded.

        Raises:
            LimitExceededError: One has.
            UnknownCostError: There is a budget, and nobody knows what is left of it.
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
        """Return the error that says that the time is up."""
        assert self.max_timeout is not None
        return TimeoutExceededError(max(self.elapsed, self.max_timeout), self.max_timeout)


@dataclass(slots=True, kw_only=True)
class ErrorStreak:
    """Counts the failing turns of one run that follow each other.

    Attributes:
        threshold: How many end the run; None is no limit.
        count: How many it has been.
    """

    threshold: int | None = None
    count: int = 0

    def turn(self, error: str | None) -> None:
        """Take note of a turn.

        Args:
            error: How it failed; None when it did not.

        Raises:
            ErrorThresholdExceededError: It was one failure too many.
        """
        self.count = self.count + 1 if error is not None else 0
        if self.threshold is not None and self.count >= self.threshold:
            raise ErrorThresholdExceededError(self.count, self.threshold, error)
