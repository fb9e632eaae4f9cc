"""`%rlm replay` and `%rlm fork`: play a recorded run again, or go on from one of its turns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from rlm.run_options import OPTIONS
from rlm_ipython.arguments import changes_of
from rlm_ipython.ask import Asked, answered, check_save, refusing
from rlm_ipython.variables import context_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rlm.api.run_handle import RunHandle
    from rlm.backends.base import ModelSpec
    from rlm.trajectory import Trajectory
    from rlm_ipython.answer import Answer
    from rlm_ipython.defaults import Defaults


def replay(magics: Defaults, flags: argparse.Namespace, path: str) -> Answer | RunHandle | None:
    """Play a saved run again; every model reply comes from its file.

    Raises:
        UsageError: A flag names a model, but a replay asks none.
    """
    given = [
        row.doors["magic"].short or row.spelling
        for row in OPTIONS
        if "magic" in row.doors and row.doors["magic"].group == "model" and getattr(flags, row.dest)
    ]
    with refusing(magics, flags):
        if given:
            raise UsageError(
                f"%rlm replay asks no model, so {given[0]} has no meaning there: "
                "%rlm fork PATH TURN goes on with one."
            )
    return _played(magics, flags, Path(path).expanduser(), turn=None)


def fork(
    magics: Defaults, flags: argparse.Namespace, name: str, turn: str
) -> Answer | RunHandle | None:
    """Go on with a run from one of its turns; what came before is played from the record.

    Args:
        magics: Of the shell.
        flags: What follows the words.
        name: The run's number or id, or the file it was saved to.
        turn: The first turn that a model is asked.
    """
    with refusing(magics, flags):
        if not turn.isdecimal() or int(turn) < 1:
            raise UsageError(f"%rlm fork {name} {turn}: TURN is the number of a turn, from 1 on.")
        path = Path(name).expanduser()
        run = None if path.suffix and path.exists() else magics.runs.named(name)
    log, models = (path, ()) if run is None else (run.trajectory, run.models)
    return _played(magics, flags, log, turn=int(turn), models=models)


def _played(
    magics: Defaults,
    flags: argparse.Namespace,
    log: Path | Trajectory,
    *,
    turn: int | None,
    models: Sequence[ModelSpec] = (),
) -> Answer | RunHandle | None:
    with refusing(magics, flags):
        asked = _reopened(magics, flags, log, turn, models)
    return answered(magics, asked)


def _reopened(
    magics: Defaults,
    flags: argparse.Namespace,
    log: Path | Trajectory,
    turn: int | None,
    models: Sequence[ModelSpec],
) -> Asked:
    """Make an RLM of the record, with what the line's flags change."""
    from rlm.api.rlm import RLM
    from rlm.core.replay_port import NOT_GIVEN
    from rlm.trajectory import TrajectoryError, load

    if flags.persistent:
        raise UsageError("--persistent is for questions: a replay or fork starts a new kernel.")
    check_save(flags)
    context = context_of(flags.var, magics.shell) if flags.var else NOT_GIVEN
    root = (load(log) if isinstance(log, Path) else log).root
    if root is None:
        raise TrajectoryError("That run has no record: it ended before it started.")
    rlm = RLM.from_notebook(
        log,
        context=context,
        turn=turn,
        replay=turn is None,
        model=flags.model,
        **changes_of(flags, magics, root, asks=turn is not None, asked=models),
    )
    return Asked(
        rlm=rlm,
        prompt=NOT_GIVEN,
        root_prompt=None,
        question=root.started.root_prompt or "",
        flags=flags,
        asks=turn is not None,
    )
