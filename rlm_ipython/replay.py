"""`%rlm replay` plays a recorded run again; `%rlm fork` goes on from one of its turns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from rlm.run_options import OPTIONS
from rlm.trajectory import Trajectory, TrajectoryError, load
from rlm_ipython.arguments import changes_of
from rlm_ipython.ask import PreparedRun, check_save, run_prepared, short_errors
from rlm_ipython.variables import context_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rlm.api.run_handle import RunHandle
    from rlm.backends.base import ModelSpec
    from rlm_ipython.answer import Answer
    from rlm_ipython.defaults import Defaults


def replay(magics: Defaults, flags: argparse.Namespace, path: str) -> Answer | RunHandle | None:
    """Play a saved run again; every model reply comes from its file."""
    with short_errors(magics, flags):
        if given := _model_flags(flags):
            raise UsageError(
                f"%rlm replay asks no model, so {given[0]} has no meaning there: "
                "%rlm fork PATH TURN goes on with one."
            )
        prepared = _prepare(magics, flags, Path(path).expanduser())
    return run_prepared(magics, prepared)


def fork(
    magics: Defaults, flags: argparse.Namespace, name: str, turn: str
) -> Answer | RunHandle | None:
    """Go on with a run from one of its turns; the turns before it come from the record.

    Args:
        magics: The shell's.
        flags: The line's.
        name: The run's number or id, or the file it was saved to.
        turn: The first turn that a model is asked.
    """
    with short_errors(magics, flags):
        if not turn.isdecimal() or int(turn) < 1:
            raise UsageError(f"%rlm fork {name} {turn}: TURN is the number of a turn, from 1 on.")
        path = Path(name).expanduser()
        run = None if path.suffix and path.exists() else magics.runs.named(name)
        log, models = (path, ()) if run is None else (run.trajectory, run.models)
        prepared = _prepare(magics, flags, log, int(turn), models)
    return run_prepared(magics, prepared)


def _model_flags(flags: argparse.Namespace) -> list[str]:
    """Return the spellings of the given flags that choose a model."""
    doors = [(row, row.doors["magic"]) for row in OPTIONS if "magic" in row.doors]
    return [
        door.short or row.spelling
        for row, door in doors
        if door.group == "model" and getattr(flags, row.dest)
    ]


def _prepare(
    magics: Defaults,
    flags: argparse.Namespace,
    log: Path | Trajectory,
    turn: int | None = None,
    models: Sequence[ModelSpec] = (),
) -> PreparedRun:
    """Make an `RLM` from the record, with the line's changes; without `turn` it is a replay."""
    from rlm.api.rlm import RLM
    from rlm.core.replay_port import NOT_GIVEN

    if flags.persistent:
        raise UsageError("--persistent is for questions: a replay or fork starts a new kernel.")
    check_save(flags)
    context = context_of(flags.var, magics.shell) if flags.var else NOT_GIVEN
    root = (load(log) if isinstance(log, Path) else log).root
    if root is None:
        raise TrajectoryError("That run has no record: it ended before it started.")
    asks = turn is not None
    rlm = RLM.from_notebook(
        log,
        context=context,
        turn=turn,
        replay=not asks,
        model=flags.model,
        **changes_of(flags, magics, root, asks=asks, asked=models),
    )
    return PreparedRun(
        rlm=rlm,
        prompt=NOT_GIVEN,
        root_prompt=None,
        question=root.started.root_prompt or "",
        flags=flags,
        asks=asks,
    )
