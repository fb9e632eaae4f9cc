"""The root of all our errors, and the errors of kernels and sandboxes."""

from __future__ import annotations

from typing import Any


class RLMError(Exception):
    """Root of every error that this project raises on purpose.

    Attributes:
        trajectory: The record of the run so far (`rlm.Trajectory`), when there was a run.
        partial_answer: The best answer known when the error came, or None.
    """

    trajectory: Any = None
    partial_answer: str | None = None


class SandboxError(RLMError):
    """A sandbox could not be started, or ended too early."""


class KernelDiedError(SandboxError):
    """A kernel's process ended and could not be restarted.

    Args:
        message: What happened.

    Attributes:
        exit_code: The process's exit status; negative is a signal's number; None when unknown.
    """

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class FrameError(SandboxError):
    """A sandbox sent bytes that are not a valid frame or message."""


class ContextError(RLMError, ValueError):
    """A value could not be loaded into the REPL as it is."""
