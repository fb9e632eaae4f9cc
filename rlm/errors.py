"""Every error that `rlm` raises to its users, under one root.

The limit errors have the reference's names, attributes and argument order, so that `except` clauses
written for it work unchanged.
"""

from __future__ import annotations

from rlm_kernel.errors import (
    ContextError,
    FrameError,
    KernelDiedError,
    RLMError,
    SandboxError,
)

__all__ = [
    "ArgumentError",
    "BackendError",
    "BudgetExceededError",
    "CancellationError",
    "ConfigurationError",
    "ContextError",
    "ContextMismatchError",
    "ContextWindowError",
    "ErrorThresholdExceededError",
    "FrameError",
    "KernelDiedError",
    "LimitExceededError",
    "MissingKeyError",
    "MissingPackageError",
    "RLMError",
    "ReplayMissError",
    "ReplayWarning",
    "SandboxError",
    "TimeoutExceededError",
    "TokenLimitExceededError",
    "UnknownCostError",
]


class ConfigurationError(RLMError, ValueError):
    """An argument has a value that is not allowed."""


class ArgumentError(RLMError, TypeError):
    """An argument is unknown, missing, or of the wrong type."""


class MissingPackageError(RLMError, ImportError):
    """An optional package is not installed; the message names the extra to install."""


class MissingKeyError(ConfigurationError):
    """No API key was found; the message names the environment variable."""


class UnknownCostError(ConfigurationError):
    """The cost of a reply is unknown, so `max_budget` cannot be kept; give `prices`."""


class BackendError(RLMError):
    """A provider did not answer, or answered with an error.

    Args:
        message: What happened, and what to do.

    Attributes:
        backend: The backend's name, such as ``"openai"``.
        model: The model that was asked.
        status: The HTTP status, or None when there was no HTTP reply.
        retryable: Whether the same request may succeed a little later.
        retry_after: Seconds that the provider asked to wait, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        backend: str = "",
        model: str = "",
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.backend = backend
        self.model = model
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


class ContextWindowError(BackendError):
    """The prompt is longer than the model's window: the provider said so, or rlm knows."""


class ReplayMissError(RLMError):
    """A replayed run made a call that its log has no reply to; the message says what differs.

    `on_miss` of `RLM.from_notebook` decides whether this ends the run.
    """


class ReplayWarning(UserWarning):
    """Something about a replay differs from the log, such as the output of a cell."""


class ContextMismatchError(ContextError, ValueError):
    """The context that was given for a recorded run is not the one that the run had.

    Args:
        message: What differs.

    Attributes:
        expected: The recorded context's SHA-256.
        found: The SHA-256 of the one given.
    """

    def __init__(self, message: str, *, expected: str = "", found: str = "") -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found


class LimitExceededError(RLMError):
    """Root of the limits on a run's whole tree."""


class BudgetExceededError(LimitExceededError):
    """The tree has spent its `max_budget`.

    Args:
        message: The error's text; None for one made of the figures.

    Attributes:
        spent: USD that the tree has spent.
        budget: The limit, in USD.
        partial_answer: The best answer known when the run ended, or None.
    """

    def __init__(
        self,
        spent: float,
        budget: float,
        message: str | None = None,
        partial_answer: str | None = None,
    ) -> None:
        super().__init__(message or f"Budget exceeded: spent ${spent:.6f} of ${budget:.6f}.")
        self.spent = spent
        self.budget = budget
        self.partial_answer = partial_answer


class TimeoutExceededError(LimitExceededError):
    """The tree has used up its `max_timeout`.

    Args:
        message: The error's text; None for one made of the figures.

    Attributes:
        elapsed: Seconds since the run began.
        timeout: The limit, in seconds.
        partial_answer: The best answer known when the run ended, or None.
    """

    def __init__(
        self,
        elapsed: float,
        timeout: float,
        partial_answer: str | None = None,
        message: str | None = None,
    ) -> None:
        super().__init__(message or f"Timeout exceeded: {elapsed:.1f} s of {timeout:.1f} s.")
        self.elapsed = elapsed
        self.timeout = timeout
        self.partial_answer = partial_answer


class TokenLimitExceededError(LimitExceededError):
    """The tree has used up its `max_tokens`.

    Args:
        message: The error's text; None for one made of the figures.

    Attributes:
        tokens_used: Input and output tokens of the tree, together.
        token_limit: The limit.
        partial_answer: The best answer known when the run ended, or None.
    """

    def __init__(
        self,
        tokens_used: int,
        token_limit: int,
        partial_answer: str | None = None,
        message: str | None = None,
    ) -> None:
        super().__init__(
            message or f"Token limit exceeded: {tokens_used:,} of {token_limit:,} tokens."
        )
        self.tokens_used = tokens_used
        self.token_limit = token_limit
        self.partial_answer = partial_answer


class ErrorThresholdExceededError(LimitExceededError):
    """`max_errors` turns in a row ended in an error.

    Args:
        message: The error's text; None for one made of the figures.

    Attributes:
        error_count: How many turns in a row failed.
        threshold: The limit.
        last_error: The last failure's text, or None.
        partial_answer: The best answer known when the run ended, or None.
    """

    def __init__(
        self,
        error_count: int,
        threshold: int,
        last_error: str | None = None,
        partial_answer: str | None = None,
        message: str | None = None,
    ) -> None:
        super().__init__(
            message
            or f"Error threshold exceeded: {error_count} turns in a row failed "
            f"(limit: {threshold}). The last error: {last_error}"
        )
        self.error_count = error_count
        self.threshold = threshold
        self.last_error = last_error
        self.partial_answer = partial_answer


class CancellationError(RLMError, KeyboardInterrupt):
    """The user stopped the run (Ctrl-C, or a cancelled task).

    Args:
        message: The error's text; None for the usual one.

    Attributes:
        partial_answer: The best answer known when the run ended, or None.
    """

    def __init__(self, partial_answer: str | None = None, message: str | None = None) -> None:
        super().__init__(message or "The run was cancelled.")
        self.partial_answer = partial_answer
