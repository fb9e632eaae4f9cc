"""What is done when this process exits, and what a forked child must not do in its stead.

`atexit` calls first what came last. Here it is the other way round: who uses sandboxes says so
before there are any, so that runs are closed while what they use still works.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

_steps: dict[Callable[[], object], Callable[[], object] | None] = {}


def at_exit(step: Callable[[], object], *, in_child: Callable[[], object] | None = None) -> None:
    """Have a function called when this process exits, after those that came before it.

    Args:
        step: The function.
        in_child: Called in a forked child at once, which forgets the step: what it ends is the
            parent's. None: the step is the child's as well.
    """
    _steps.setdefault(step, in_child)
    # Before all that `atexit` knows by now: Modal's SDK stops its loop there
    atexit.unregister(_exit)
    atexit.register(_exit)


def done(step: Callable[[], object]) -> None:
    """Forget a step that need not be taken any more."""
    _steps.pop(step, None)


def close_pipes(process: subprocess.Popen[bytes]) -> None:
    """Close a forked child's ends of a parent's pipes, which would keep the process from ending."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.poll()  # no child of ours: it is taken to have ended


def _exit() -> None:
    for step in list(_steps):
        if step in _steps:
            with contextlib.suppress(Exception):
                step()


def _forked() -> None:
    for step, in_child in list(_steps.items()):
        if in_child is not None:
            del _steps[step]
            in_child()


os.register_at_fork(after_in_child=_forked)
