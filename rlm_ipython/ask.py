"""Runs a `%%rlm` cell: starts the run, shows it, waits for it, and returns the answer."""

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
from rlm_ipython.variables import context_of, fill_braces
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
"""Seconds that we wait for a stopped run to end its kernels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
    """A run that is checked and ready to start.

    Attributes:
        rlm: Runs it.
        prompt: The context.
        root_prompt: The question; None when the context is the question itself.
        question: The text that `%rlm runs` lists.
        flags: The magic line's.
        asks: Whether models are asked; a replay asks none.
    """

    rlm: RLM
    prompt: Any
    root_prompt: str | None
    question: str
    flags: argparse.Namespace
    asks: bool = True


def ask(magics: Defaults, flags: argparse.Namespace, question: str) -> Answer | RunHandle | None:
    """Answer a question; return the answer, with `--bg` the run's handle, with `--quiet` None.

    Raises:
        UsageError: A flag names something that does not exist.
        RLMError: The run failed, or could not start.
    """
    with short_errors(magics, flags):
        prepared = _prepare(magics, flags, fill_braces(question, magics.shell))
    return run_prepared(magics, prepared)


@contextmanager
def short_errors(magics: Defaults, flags: argparse.Namespace) -> Iterator[None]:
    """Turn an error before the run into one paragraph, and bind it to `-o` over an older result."""
    try:
        with through("magic"):
            yield
    except UsageError as error:
        _bind(magics, flags, error)
        raise
    except (RLMError, OSError) as error:
        magics.last_error = error
        short = one_paragraph(error)
        _bind(magics, flags, short)
        raise short from None


def _bind(
    magics: Defaults,
    flags: argparse.Namespace,
    outcome: RLMChatCompletion | RLMError | UsageError,
    prompt: Any = None,
) -> None:
    if flags.out:
        magics.shell.push({flags.out: result_of(outcome, prompt)})


def run_prepared(magics: Defaults, prepared: PreparedRun) -> Answer | RunHandle | None:
    """Run it; returns and raises as `ask`."""
    run = _in_background if prepared.flags.bg else _in_this_cell
    return run(magics, prepared)


def check_save(flags: argparse.Namespace) -> None:
    """Refuse a `--save` path that cannot be written, before anything is paid for."""
    from rlm.cli.output_files import check_writable

    if flags.save:
        check_writable(save=str(Path(flags.save).expanduser()))


def _prepare(magics: Defaults, flags: argparse.Namespace, question: str) -> PreparedRun:
    """Refuse what cannot work before anything is paid for."""
    from rlm.api.rlm import RLM

    context = context_of(flags.var, magics.shell) if flags.var else question
    arguments = rlm_arguments(flags, magics)
    check_save(flags)
    return PreparedRun(
        rlm=magics.kept.rlm(arguments) if flags.persistent else RLM(**arguments),
        prompt=context,
        root_prompt=question if flags.var else None,
        question=question,
        flags=flags,
    )


def _in_this_cell(magics: Defaults, prepared: PreparedRun) -> Answer | None:
    """Run to the end before the cell is over."""
    from rlm.core.main_thread import serve_main_thread

    flags = prepared.flags
    try:
        with serve_main_thread() as calls:
            handle, run = _start(magics, prepared)
            outcome = _wait_for(handle, lambda: _view(handle, magics, flags), calls)
    finally:
        _close(prepared)
    _bind(magics, flags, outcome, prepared.prompt)
    _finish(magics, prepared, run, outcome)
    if isinstance(outcome, RLMError):
        raise outcome from None
    return None if flags.quiet else Answer(outcome.response, run.trajectory.root)


def _in_background(magics: Defaults, prepared: PreparedRun) -> RunHandle | None:
    """Return at once; a thread shows and finishes the run."""
    flags = prepared.flags
    background = Background()
    handle, run = _start(magics, prepared, at_end=background.at_end)
    # A live view in a terminal would overwrite what the user types: `%rlm show` shows the run.
    quiet = flags.quiet or not in_notebook(magics.shell)
    view: View = Silent()
    try:
        if flags.out:
            magics.shell.push({flags.out: handle})
        if not quiet:
            view = view_of(handle, magics.shell, widget=magics.widget)
    finally:  # The run has started: the thread has to finish it even when it cannot be shown.
        background.watch(
            handle,
            view,
            finish=lambda outcome: _finish(magics, prepared, run, outcome),
            free=lambda: _close(prepared),
        )
    return None if flags.quiet else handle


def _finish(
    magics: Defaults,
    prepared: PreparedRun,
    run: ShellRun,
    outcome: RLMChatCompletion | RLMError,
) -> None:
    """Save the run, and make an error print as one paragraph wherever it is raised."""
    flags = prepared.flags
    if flags.save:
        _save(run.trajectory, flags.save)
    if isinstance(outcome, RLMError):
        run.error = magics.last_error = one_paragraph(outcome, out=flags.out, number=run.number)


def _start(
    magics: Defaults, prepared: PreparedRun, *, at_end: AtEnd | None = None
) -> tuple[RunHandle, ShellRun]:
    handle = prepared.rlm.start(prepared.prompt, prepared.root_prompt, at_end=at_end)
    run = magics.runs.add(
        handle.trajectory,
        handle=handle,
        question=prepared.question,
        models=prepared.rlm.config.models if prepared.asks else (),
    )
    return handle, run


def _close(prepared: PreparedRun) -> None:
    """Close the `RLM` unless `--persistent` keeps it."""
    if not prepared.flags.persistent:
        prepared.rlm.close()


def _view(handle: RunHandle, magics: Defaults, flags: argparse.Namespace) -> View:
    if flags.quiet:
        return Silent()
    return view_of(handle, magics.shell, widget=magics.widget, step=flags.step)


def _wait_for(
    handle: RunHandle, show: Callable[[], View], calls: MainThreadCalls
) -> RLMChatCompletion | RLMError:
    """Wait for a run and show it meanwhile; Ctrl-C (the interrupt button) stops it.

    `show` is called here, so that an interrupt during it stops the run too. `calls` runs the
    engine's questions to the user on this thread.
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
        # A second Ctrl-C ends this wait; the run stops all the same.
        with suppress(KeyboardInterrupt):
            handle.wait(_GRACE)
    view.end()
    if not handle.done:
        error = CancellationError(message="The run was cancelled; its kernels are still ending.")
        error.trajectory = handle.trajectory
        return error
    return handle.error or handle.result()


def result_of(outcome: RLMChatCompletion | RLMError | UsageError, prompt: Any) -> RLMChatCompletion:
    """Return what `-o` binds; for a failed run its partial answer, record and `error`."""
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
