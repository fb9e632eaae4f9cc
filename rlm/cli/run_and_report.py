"""Runs, prints the answer and saves the record, for `rlm run` and `rlm replay`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rlm.cli.exit_codes import Exit
from rlm.cli.sidecar import carry_context
from rlm.errors import CancellationError, LimitExceededError, RLMError
from rlm.run_options.spelling import how_to_allow_more

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from rlm import RLM
    from rlm.trajectory import RunNode, Trajectory


def complete(
    options: argparse.Namespace,
    make: Callable[..., RLM],
    context: Any,
    question: str | None,
    *,
    log: str | None = None,
) -> int:
    """Run to the end, print the answer, save the record, and return the exit code.

    `make` gets `logger` and `verbose` and returns the `RLM`. `log` is the file of the run that is
    replayed: the context next to it is copied with the new run.
    """
    from rlm.logger import RLMLogger

    logger = RLMLogger(log_dir=options.log_dir) if options.log_dir else None
    verbose = options.verbose or (sys.stderr.isatty() and not options.quiet)
    error: RLMError | None = None
    try:
        with make(logger=logger, verbose=verbose) as rlm:
            result = rlm.completion(context, root_prompt=question)
        answer, trajectory = result.response, result.trajectory
    except RLMError as caught:
        error = caught
        answer, trajectory = caught.partial_answer or "", caught.trajectory
    if trajectory is None or trajectory.root is None:
        raise error or RLMError("The run left no record.")
    saved, trouble = _save(trajectory, options.save, log)
    files = {"saved": saved, "log": logger.log_file_path if logger else None}
    _print_answer(options, answer, trajectory.root, error, files)
    if not options.quiet:
        _print_figures(trajectory.root, files, shown=verbose)
    if trouble is not None:
        sys.stderr.write(f"rlm: The run could not be saved to {options.save!r}: {trouble}\n")
    if isinstance(error, LimitExceededError):
        sys.stderr.write(f"rlm: {error} {how_to_allow_more(error)}\n")
        return Exit.LIMIT
    if error is not None:
        raise error
    return Exit.OK if trouble is None else Exit.ERROR


def figures(root: RunNode) -> dict[str, Any]:
    """Return the figures of a run and all below it for `--json`; `time` is in seconds."""
    runs = list(root.walk())
    finished = root.finished
    return {
        "status": "error" if finished is None else finished.status,
        "model": root.started.model,
        "turns": sum(len(run.turns) for run in runs),
        "sub_calls": sum(len(run.sub_calls) for run in runs),
        "children": len(runs) - 1,
        "time": None if finished is None else finished.duration,
        "usage": root.usage.to_dict(),
    }


def _save(
    trajectory: Trajectory, path: str | None, log: str | None
) -> tuple[str | None, str | None]:
    """Save the run; return the path, and what went wrong: the paid answer is printed anyway."""
    if not path:
        return None, None
    try:
        if log is not None:
            carry_context(trajectory, log, path)
        return str(trajectory.save(path)), None
    except OSError as error:
        return None, error.strerror or str(error)


def _print_answer(
    options: argparse.Namespace,
    answer: str,
    root: RunNode,
    error: RLMError | None,
    files: dict[str, str | None],
) -> None:
    if options.json:
        failure = error and {"type": type(error).__name__, "message": str(error)}
        report = {"answer": answer, **figures(root), **files, "error": failure}
        sys.stdout.write(json.dumps(report, ensure_ascii=False, indent=2) + "\n")
    elif answer and (error is None or isinstance(error, LimitExceededError | CancellationError)):
        sys.stdout.write(answer + "\n")
    sys.stdout.flush()


def _print_figures(root: RunNode, files: dict[str, str | None], *, shown: bool) -> None:
    """Print time and cost, unless the console has shown them, and where the run's files are."""
    from rlm.render.outline import summary

    lines = [] if shown else [summary(root)]
    lines += [f"{what}: {path}" for what, path in files.items() if path]
    sys.stderr.write("".join(f"{line}\n" for line in lines))
