"""`%rlm replay` and `%rlm fork`: a recorded run again, or on from one of its turns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rlm.errors import RLMError
from rlm_ipython.asking import Asked, answered
from rlm_ipython.failure import told_in_a_paragraph
from rlm_ipython.saving import refuse_unwritable
from rlm_ipython.settings import environment_kwargs
from rlm_ipython.variables import context_of

if TYPE_CHECKING:
    import argparse

    from rlm.run_handle import RunHandle
    from rlm.trajectory import Trajectory
    from rlm_ipython.answer import Answer
    from rlm_ipython.magics import RLMMagics


def replay(magics: RLMMagics, flags: argparse.Namespace, path: str) -> Answer | RunHandle | None:
    """Play a saved run again, every model reply from its file.

    Args:
        magics: Of the shell.
        flags: What follows the words.
        path: The file.
    """
    return _played(magics, flags, Path(path).expanduser(), turn=None)


def fork(
    magics: RLMMagics, flags: argparse.Namespace, name: str, turn: str
) -> Answer | RunHandle | None:
    """Go on with a run from one of its turns; what was before comes from the record.

    Args:
        magics: Of the shell.
        flags: What follows the words.
        name: The run's number, its id, or the file it was saved to.
        turn: The first turn that a model is asked in.
    """
    if not turn.isdecimal() or int(turn) < 1:
        raise UsageError(f"%rlm fork {name} {turn}: TURN is the number of a turn, from 1 on.")
    path = Path(name).expanduser()
    if path.suffix and path.exists():
        return _played(magics, flags, path, turn=int(turn))
    run = magics.runs.named(name)
    root = run.trajectory.root
    if run.handle is not None and root is not None and not (flags.base_url or flags.backend):
        # Who was asked in this notebook may be asked again; of a file the user has to say it.
        flags.base_url = root.started.config.get("backend_kwargs", {}).get("base_url")
    return _played(magics, flags, run.trajectory, turn=int(turn))


def _played(
    magics: RLMMagics, flags: argparse.Namespace, log: Path | Trajectory, *, turn: int | None
) -> Answer | RunHandle | None:
    try:
        asked = _reopened(magics, flags, log, turn)
    except (RLMError, OSError) as error:
        magics.last_error = error
        raise told_in_a_paragraph(error) from None
    return answered(magics, asked)


def _reopened(
    magics: RLMMagics, flags: argparse.Namespace, log: Path | Trajectory, turn: int | None
) -> Asked:
    """Make an RLM of the record; what the line says differs, the rest is as recorded."""
    from rlm.replay.plan import NOT_GIVEN  # noqa: PLC0415 - needed here alone
    from rlm.rlm import RLM  # noqa: PLC0415 - the engine is loaded when it is needed
    from rlm.trajectory import load  # noqa: PLC0415 - same

    if flags.persistent:
        raise UsageError("--persistent is for questions: a run that is played has its own kernel.")
    if flags.save:
        refuse_unwritable(flags.save)
    context = context_of(flags.variables, magics.shell) if flags.variables else NOT_GIVEN
    trajectory = load(log) if isinstance(log, Path) else log
    root = trajectory.root
    rlm = RLM.from_notebook(
        log,
        context=context,
        turn=turn,
        replay=turn is None,
        model=flags.model,
        **_changes(flags, magics, turn),
    )
    question = (root.started.root_prompt if root is not None else "") or ""
    return Asked(rlm=rlm, prompt=NOT_GIVEN, root_prompt=None, question=question, flags=flags)


def _changes(flags: argparse.Namespace, magics: RLMMagics, turn: int | None) -> dict[str, Any]:
    """Return the arguments of `RLM` that are to differ from the recorded ones."""
    changes: dict[str, Any] = {
        "backend": flags.backend,
        "environment": flags.environment,
        "environment_kwargs": environment_kwargs(flags, magics) if flags.environment else None,
        "max_iterations": flags.max_iterations,
        "max_depth": flags.max_depth,
        "max_budget": flags.budget,
        "max_timeout": flags.timeout,
        "max_tokens": flags.tokens,
    }
    if turn is not None:
        kwargs = dict(magics.backend_kwargs)
        if base_url := flags.base_url or magics.base_url:
            kwargs["base_url"] = base_url
        changes["backend_kwargs"] = kwargs or None
        changes["prices"] = {name: tuple(pair) for name, pair in magics.prices.items()} or None
    if flags.step:
        from rlm.approval import ask  # noqa: PLC0415 - needed here alone

        changes["approve"] = ask
    return {name: value for name, value in changes.items() if value is not None}
