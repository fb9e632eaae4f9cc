"""`rlm attach`: lists the live runs, and says how to open the kernel of one."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from typing import TYPE_CHECKING

from rlm.cli.exit_codes import Exit
from rlm.live_runs import live_run, live_runs
from rlm.render.safe_text import one_line

if TYPE_CHECKING:
    import argparse

    from rlm.live_runs import LiveRun

HOW = """\
{run}

  jupyter console --existing {file}

This opens the run's kernel with `context`, `answer` and the model's variables. What you type runs
between the model's cells, and the run's trajectory records it. While one of the model's cells
runs, the console waits. Ctrl-D leaves the console; the run goes on.
"""

MISSING = """
`jupyter console` is not installed here: pip install jupyter-console
"""


def attach(options: argparse.Namespace) -> int:
    """List the live runs, or say how to open the kernel of one."""
    if options.run is not None:
        run = live_run(options.run)
        file = shlex.quote(run.connection_file)
        sys.stdout.write(HOW.format(run=_about(run), file=file))
        if shutil.which("jupyter-console") is None:
            sys.stdout.write(MISSING)
        return Exit.OK
    runs = live_runs()
    sys.stdout.write("".join(f"{_about(run)}\n" for run in runs) or "No run is live.\n")
    if runs:
        sys.stdout.write(
            "\n`rlm attach RUN` says how to open a run's kernel; the start of its id is enough.\n"
        )
    return Exit.OK


_LONGEST = 24 * 3600.0 - 1
"""The longest time shown, in seconds."""


def _about(run: LiveRun) -> str:
    # Any process of this user may have written the file, even a model's kernel.
    seconds = min(max(0.0, time.time() - run.started), _LONGEST)
    took = time.strftime("%H:%M:%S", time.gmtime(seconds))
    words = (run.id, 80), (run.environment, 20), (run.model, 40), (run.question, 60)
    name, environment, model, question = (one_line(text, most) for text, most in words)
    return f"{name}  {took}  {environment}  {model}  {question}"
