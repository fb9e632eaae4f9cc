"""What a `%%rlm` cell does: start a run, show it, wait for it, and bring its answer back."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rlm.core.types import RLMChatCompletion
from rlm.errors import CancellationError, RLMError
from rlm.run_options.spelling import through
from rlm.usage import UsageSummary
from rlm_ipython.answer import Answer
from rlm_ipython.arguments import rlm_arguments
from rlm_ipython.background import Background
from rlm_ipython.errors import one_paragraph
from rlm_ipython.variables import context_of, filled
from rlm_ipython.views import Silent, View, in_notebook, view_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from rlm.api.outcome import AtEnd
    from rlm.api.rlm import RLM
    from rlm.api.run_handle import RunHandle
    from rlm.core.main_thread import MainThreadCalls
    from rlm.trajectory import Trajectory
    from rlm_ipython.defaults import Defaults
    from rlm_ipython.runs import ShellRun

_TICK = 0.1
_GRACE = 10.0
"""Seconds that a stopped run has to end its kernels while we wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, checked and ready to be answered.

    Attributes:
        rlm: What answers it.
        prompt: The context.
        root_prompt: The question; None when the context is the question itself.
        question: What `%rlm runs` lists.
        flags: What the magic line says.
        asks: Whether models are asked; a replay asks none.
    """

    rlm: RLM
    prompt: Any
    root_prompt: str | None
    question: str
    flags: argparse.Namespace
    asks: bool = True


def ask(magics: Defaults, flags: argparse.Namespace, question: str) -> Answer | RunHandle | None:
    """Answer a question.

    Returns:
        The answer; with `--bg` the run's handle; with `--quiet` None.

    Raises:
        UsageError: A flag names something that does not exist.
        RLMError: The run failed, or could not start.
    """
    with refusing(magics, flags):
        asked = _checked(magics, flags, filled(question, magics.shell))
    return answered(magics, asked)


@contextmanager
def refusing(magics: Defaults, flags: argparse.Namespace) -> Iterator[None]:
    """Turn an error before the run into one paragraph, and bind it to `-o` in place of old results.

    Raises:
        UsageError: As it was raised.
        RLMError: As it was raised, or made of an `OSError`.
    """
    try:
        with through("magic"):
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
    magics: Defaults,
    flags: argparse.Namespace,
    outcome: RLMChatCompletion | RLMError | UsageError,
    prompt: Any = None,
) -> None:
    if flags.out:
        magics.shell.push({flags.out: result_of(outcome, prompt)})


def answered(magics: Defaults, asked: Asked) -> Answer | RunHandle | None:
    """Run a checked question; returns and raises as `ask`."""
    return _in_background(magics, asked) if asked.flags.bg else _here(magics, asked)


def check_save(flags: argparse.Namespace) -> None:
    """Refuse a `--save` path that could not be written, before anything is paid for.

    Raises:
        ConfigurationError: The suffix is not one that we write, or the folder is not writable.
    """
    from rlm.cli.output_files import check_writable

    if flags.save:
        check_writable(save=str(Path(flags.save).expanduser()))


def _checked(magics: Defaults, flags: argparse.Namespace, question: str) -> Asked:
    """Refuse what cannot work before anything is paid for."""
    from rlm.api.rlm import RLM

    context = context_of(flags.var, magics.shell) if flags.var else question
    arguments = rlm_arguments(flags, magics)
    check_save(flags)
    return Asked(
        rlm=magics.kept.rlm(arguments) if flags.persistent else RLM(**arguments),
        prompt=context,
        root_prompt=question if flags.var else None,
        question=question,
        flags=flags,
    )


def _here(magics: Defaults, asked: Asked) -> Answer | None:
    """Run to the end in the cell that asks."""
    from rlm.core.main_thread import serve_main_thread

    flags = asked.flags
    try:
        with serve_main_thread() as calls:
            run = _begin(magics, asked)
            handle = run.handle
            assert handle is not None
            outcome = _wait_for(handle, lambda: _view(handle, magics, flags), calls)
    finally:
        _end(asked)
    _bind(magics, flags, outcome, asked.prompt)
    _finished(magics, asked, run, outcome)
    if isinstance(outcome, RLMError):
        raise outcome from None
    return None if flags.quiet else Answer(outcome.response, run.trajectory.root)


def _in_background(magics: Defaults, asked: Asked) -> RunHandle | None:
    """Return at once; a thread looks after the run."""
    flags = asked.flags
    background = Background()
    run = _begin(magics, asked, at_end=background.at_end)
    handle = run.handle
    assert handle is not None
    # In a terminal it would overwrite what the user types: there `%rlm show` shows it.
    quiet = flags.quiet or not in_notebook(magics.shell)
    view: View = Silent()
    try:
        if flags.out:
            magics.shell.push({flags.out: handle})
        if not quiet:
            view = view_of(handle, magics.shell, widget=magics.widget)
    finally:  # The run has started: the thread looks after it even when it cannot be shown.
        background.look_after(
            handle,
            view,
            finish=lambda outcome: _finished(magics, asked, run, outcome),
            free=lambda: _end(asked),
        )
    return None if flags.quiet else handle


def _finished(
    magics: Defaults, asked: Asked, run: ShellRun, outcome: RLMChatCompletion | RLMError
) -> None:
    """Save the run, and make an error print as one paragraph wherever it is raised."""
    if asked.flags.save:
        _save(run.trajectory, asked.flags.save)
    if isinstance(outcome, RLMError):
        run.error = magics.last_error = one_paragraph(
            outcome, out=asked.flags.out, number=run.number
        )


def _begin(magics: Defaults, asked: Asked, *, at_end: AtEnd | None = None) -> ShellRun:
    handle = asked.rlm.start(asked.prompt, asked.root_prompt, at_end=at_end)
    return magics.runs.add(
        handle.trajectory,
        handle=handle,
        question=asked.question,
        models=asked.rlm.config.models if asked.asks else (),
    )


def _end(asked: Asked) -> None:
    """Close the `RLM` unless `--persistent` keeps it."""
    if not asked.flags.persistent:
        asked.rlm.close()


def _view(handle: RunHandle, magics: Defaults, flags: argparse.Namespace) -> View:
    if flags.quiet:
        return Silent()
    return view_of(handle, magics.shell, widget=magics.widget, step=flags.step)


def _wait_for(
    handle: RunHandle, show: Callable[[], View], calls: MainThreadCalls
) -> RLMChatCompletion | RLMError:
    """Wait for a run and show it meanwhile; a Ctrl-C (the interrupt button) stops it.

    Args:
        handle: The run.
        show: Starts to show it; called here, so that the interrupt button works from then on.
        calls: Runs on this thread what the run asks the user.
    """
    handle.add_done_callback(lambda _: calls.wake())
    view: View = Silent()
    try:
        view = show()
        while not handle.done:
            calls.serve(_TICK)
            view.tick()
    except KeyboardInterrupt:
        handle.stop()
        # A second Ctrl-C ends this wait too; the run is stopped in any case.
        with suppress(KeyboardInterrupt):
            handle.wait(_GRACE)
    view.end()
    if not handle.done:
        error = CancellationError(message="The run was cancelled; it still frees what it holds.")
        error.trajectory = handle.trajectory
        return error
    return handle.error or handle.result()


def result_of(outcome: RLMChatCompletion | RLMError | UsageError, prompt: Any) -> RLMChatCompletion:
    """Return what `-o` binds: the result, or a failed run's partial answer, record and `error`."""
    if isinstance(outcome, RLMChatCompletion):
        return outcome
    from rlm.core.replay_port import NOT_GIVEN

    trajectory: Trajectory | None = getattr(outcome, "trajectory", None)
    root = trajectory.root if trajectory is not None else None
    finished = root.finished if root is not None else None
    return RLMChatCompletion(
        root_model=root.started.model if root is not None else "",
        prompt=None if prompt is NOT_GIVEN else prompt,
        response=getattr(outcome, "partial_answer", None) or "",
        usage_summary=root.usage if root is not None else UsageSummary(),
        execution_time=finished.duration if finished is not None else 0.0,
        error=f"{type(outcome).__name__}: {outcome}",
        trajectory=trajectory,
    )


def _save(trajectory: Trajectory, path: str) -> None:
    """Write the run to a file; a failure goes to stderr and never costs the paid answer."""
    if trajectory.root is None:
        return
    try:
        trajectory.save(Path(path).expanduser())
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is paid for
        sys.stderr.write(f"rlm: The run could not be saved to {path}: {error}\n")
