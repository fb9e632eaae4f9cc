"""`rlm replay`: plays a recorded run again, or goes on from one of its turns with a model."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.cli.arguments import changed_arguments
from rlm.cli.load_log import recorded
from rlm.cli.output_files import check_writable
from rlm.cli.run_and_report import complete
from rlm.errors import ConfigurationError, ReplayWarning

if TYPE_CHECKING:
    import argparse

    from rlm.trajectory import Trajectory

_LIVE_ONLY = ("turn", "message")
"""Options that make the replay go on with a model."""


def replay(options: argparse.Namespace) -> int:
    """Play the run again, or go on with it."""
    from rlm import RLM
    from rlm.core.replay_port import NOT_GIVEN

    check_writable(save=options.save, log_dir=options.log_dir)
    goes_on = options.resume or any(getattr(options, name) is not None for name in _LIVE_ONLY)
    log = _log(options)
    chosen: dict[str, Any] = {
        "context": NOT_GIVEN if options.context is None else _context(options.context),
        "replay": not goes_on,
        "turn": options.turn,
        "messages": options.message,
        "on_miss": options.on_miss,
        "model": options.model,
        **changed_arguments(options),
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ReplayWarning)
        code = complete(
            options,
            lambda **more: RLM.from_notebook(log, **chosen, **more),
            NOT_GIVEN,
            None,
            log=options.file,
        )
    for warning in caught:
        if issubclass(warning.category, ReplayWarning) and not options.quiet:
            sys.stderr.write(f"rlm: {warning.message}\n")
    return code


def _log(options: argparse.Namespace) -> str | Trajectory:
    """Return the log's path (its context may lie next to it), or the chosen run of a .jsonl."""
    trajectory = recorded(options.file, options.run)
    return trajectory if Path(options.file).suffix.lower() == ".jsonl" else options.file


def _context(path: str) -> Path:
    if not Path(path).exists():
        raise ConfigurationError(f"--context {path!r}: there is no such file or folder.")
    return Path(path)
