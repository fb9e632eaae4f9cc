"""What a `%%rlm` cell does: begin a run, show it, and bring its answer into the notebook."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rlm.errors import RLMError
from rlm_ipython.answer import Answer
from rlm_ipython.arguments import rlm_arguments
from rlm_ipython.background import Background
from rlm_ipython.errors import one_paragraph
from rlm_ipython.result import result_of
from rlm_ipython.saving import refuse_unwritable, save
from rlm_ipython.variables import context_of, filled
from rlm_ipython.views import Silent, View, in_notebook, view_of
from rlm_ipython.waiting import wait_for

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from rlm.api.outcome import AtEnd
    from rlm.api.rlm import RLM
    from rlm.api.run_handle import RunHandle
    from rlm.core.types import RLMChatCompletion
    from rlm_ipython.magics import RLMMagics
    from rlm_ipython.runs import ShellRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, checked and ready to be answered.

    Attributes:
        rlm: What answers it.
        prompt: The context.
        root_prompt: The question, where the context is not the question itself.
        question: What `%rlm runs` lists.
        flags: What the magic line says.
        asks: Whether models are asked: not in a replay.
    """

    rlm: RLM
    prompt: Any
    root_prompt: str | None
    question: str
    flags: argparse.Namespace
    asks: bool = True


def ask(magics: RLMMagics, flags: argparse.Namespace, question: str) -> Answer | RunHandle | None:
    """Answer a question.

    Args:
        magics: Of the shell that asks.
        flags: What its magic line says.
        question: The cell's body.

    Returns:
        The answer; with `--bg` the run's handle; with `--quiet` None.

    Raises:
        UsageError: A flag names what is not there.
        RLMError: What the run ended in, or could not begin for.
    """
    with refusing(magics, flags):
        asked = _checked(magics, flags, filled(question, magics.shell))
    return answered(magics, asked)


@contextmanager
def refusing(magics: RLMMagics, flags: argparse.Namespace) -> Iterator[None]:
    """Say in a paragraph why a run cannot begin; `-o` has it too, instead of an older result.

    Args:
        magics: Of the shell that asks.
        flags: What its magic line says.

    Raises:
        UsageError: As it was raised.
        RLMError: As it was raised, or of an `OSError`.
    """
    try:
        yield
    except UsageError as error:
        _bind(magics, flags, error)
        raise
    except (RLMError, OSError) as error:
        magics.last_error = error
        told = one_paragraph(error)
        _bind(magics, flags, told)
        raise told from None


def _bind(
    magics: RLMMagics,
    flags: argparse.Namespace,
    outcome: RLMChatCompletion | RLMError | UsageError,
    prompt: Any = None,
) -> None:
    if flags.out:
        magics.shell.push({flags.out: result_of(outcome, prompt)})


def answered(magics: RLMMagics, asked: Asked) -> Answer | RunHandle | None:
    """Run what is ready to be run; returns and raises as `ask`.

    Args:
        magics: Of the shell that asks.
        asked: The question.
    """
    return _in_background(magics, asked) if asked.flags.bg else _here(magics, asked)


def _checked(magics: RLMMagics, flags: argparse.Namespace, question: str) -> Asked:
    """Refuse what cannot work before anything is paid for."""
    from rlm.api.rlm import RLM

    context = context_of(flags.variables, magics.shell) if flags.variables else question
    arguments = rlm_arguments(flags, magics)
    if flags.save:
        refuse_unwritable(flags.save)
    return Asked(
        rlm=magics.kept.rlm(arguments) if flags.persistent else RLM(**arguments),
        prompt=context,
        root_prompt=question if flags.variables else None,
        question=question,
        flags=flags,
    )


def _here(magics: RLMMagics, asked: Asked) -> Answer | None:
    """Run to the end in the cell that asks."""
    from rlm.core.main_thread import serve_main_thread

    flags = asked.flags
    try:
        with serve_main_thread() as desk:
            run = _begin(magics, asked)
            handle = run.handle
            assert handle is not None
            outcome = wait_for(handle, lambda: _view(handle, magics, flags), desk)
    finally:
        _end(asked)
    _bind(magics, flags, outcome, asked.prompt)
    _finished(magics, asked, run, outcome)
    if isinstance(outcome, RLMError):
        raise outcome from None
    return None if flags.quiet else Answer(outcome.response, run.trajectory.root)


def _in_background(magics: RLMMagics, asked: Asked) -> RunHandle | None:
    """Return at once; a thread looks after the run."""
    flags = asked.flags
    background = Background()
    run = _begin(magics, asked, at_end=background.at_end)
    handle = run.handle
    assert handle is not None
    # In a terminal it would write over what the user types: there `%rlm show` shows it.
    quiet = flags.quiet or not in_notebook(magics.shell)
    view: View = Silent()
    try:
        if flags.out:
            magics.shell.push({flags.out: handle})
        if not quiet:
            view = view_of(handle, magics.shell, widget=magics.widget)
    finally:  # The run has begun: whatever keeps it from being shown, somebody sees to its end.
        background.look_after(
            handle,
            view,
            finish=lambda outcome: _finished(magics, asked, run, outcome),
            free=lambda: _end(asked),
        )
    return None if flags.quiet else handle


def _finished(
    magics: RLMMagics, asked: Asked, run: ShellRun, outcome: RLMChatCompletion | RLMError
) -> None:
    """Save what a run came to, and have an error shown as a paragraph where it is raised."""
    if asked.flags.save:
        save(run.trajectory, asked.flags.save)
    if isinstance(outcome, RLMError):
        run.error = magics.last_error = one_paragraph(
            outcome, out=asked.flags.out, number=run.number
        )


def _begin(magics: RLMMagics, asked: Asked, *, at_end: AtEnd | None = None) -> ShellRun:
    handle = asked.rlm.start(asked.prompt, asked.root_prompt, at_end=at_end)
    return magics.runs.add(
        handle.trajectory,
        handle=handle,
        question=asked.question,
        models=asked.rlm.config.models if asked.asks else (),
    )


def _end(asked: Asked) -> None:
    """Free what nobody needs any more; what is persistent stays."""
    if not asked.flags.persistent:
        asked.rlm.close()


def _view(handle: RunHandle, magics: RLMMagics, flags: argparse.Namespace) -> View:
    if flags.quiet:
        return Silent()
    return view_of(handle, magics.shell, widget=magics.widget, step=flags.step)
