"""Shows a run's failure as one readable paragraph instead of a traceback."""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING

from rlm.errors import (
    CancellationError,
    ContextError,
    LimitExceededError,
    MissingKeyError,
    RLMError,
    SandboxError,
)
from rlm.render.safe_text import safe_text
from rlm.run_options.spelling import how_to_allow_more, through
from rlm_ipython.answer import summary_line

if TYPE_CHECKING:
    from rlm.trajectory import RunNode

_ENTER_A_KEY = (
    "To enter it without leaving it in the notebook: import os, getpass; "
    'os.environ["{variable}"] = getpass.getpass()'
)
_VARIABLE = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
_GIVE_THE_CONTEXT = "In a notebook: -v NAME, the variable that holds it."


def one_paragraph(
    error: RLMError | OSError, *, out: str | None = None, number: int | None = None
) -> RLMError:
    """Return an error that IPython prints as one paragraph; its class and text stay the same.

    It uses IPython's `_render_traceback_` protocol, so the shell itself does not change.

    Args:
        error: Why a run failed or could not start; an `OSError` becomes an `RLMError`.
        out: The variable that holds the result.
        number: The run's number in `%rlm runs`; None when none started.
    """
    if isinstance(error, OSError) and not isinstance(error, RLMError):
        file = f"{error.filename}: " if error.filename else ""
        error, cause = RLMError(f"{file}{error.strerror or error}"), error
        error.__cause__ = cause
    parts = [f"{type(error).__name__}: {_sentence(str(error))}", _advice(error)]
    root = error.trajectory.root if error.trajectory is not None else None
    if root is not None:
        parts.append(_so_far(root, error, out=out, number=number))
    if not isinstance(error, CancellationError | LimitExceededError):
        parts.append("The traceback: %rlm traceback.")
    text = safe_text(" ".join(filter(None, parts)))
    error._render_traceback_ = lambda: [text]  # type: ignore[attr-defined]
    return error


def full_traceback(error: BaseException) -> str:
    """Return the traceback that the paragraph replaced."""
    return safe_text("".join(traceback.format_exception(error)))


def _advice(error: RLMError) -> str:
    if isinstance(error, MissingKeyError):
        named = _VARIABLE.search(str(error))
        return _ENTER_A_KEY.format(variable=named[0]) if named else ""
    if isinstance(error, SandboxError):
        return "`rlm doctor` in a terminal says what works here."
    if isinstance(error, ContextError) and "does not hold its context" in str(error):
        return _GIVE_THE_CONTEXT
    if isinstance(error, LimitExceededError):
        with through("magic"):
            return how_to_allow_more(error)
    return ""


def _so_far(root: RunNode, error: RLMError, *, out: str | None, number: int | None) -> str:
    where = f"{out}.trajectory" if out else f"%rlm show {number}"
    text = f"The run so far ({summary_line(root)}) is in {where}"
    if error.partial_answer:
        partial = f"{out}.answer" if out else "there"
        text += f", its partial answer ({len(error.partial_answer):,} characters) in {partial}"
    return f"{text}."


def _sentence(text: str) -> str:
    text = text.strip() or "no further details"
    return text if text[-1] in ".!?" else f"{text}."
