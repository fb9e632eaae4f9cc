"""What happens when this process exits, and what a child that it forks may do.

**The rule for a forked child.** A child may go on using its parent's `RLM`, and begins afresh with
it: it gets an engine loop, reader threads and sandboxes when it first needs them, and closes only
those. Everything that ran at the fork is the parent's. The child does not wait for it, ends none of
it, writes nothing for it, and closes its own copies of the pipes that lead there.

Threads do not survive a fork, and a lock that another thread held stays locked. So what a module
keeps behind a thread or a lock is replaced in the child (`after_fork_in_child`).

**The rule for the exit.** `atexit` calls the newest function first. Here the oldest step is first:
whoever uses sandboxes registers before any sandbox exists, so that runs are closed while what they
use still works.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

_exit_steps: dict[Callable[[], object], Callable[[], object] | None] = {}


def after_fork_in_child(function: Callable[[], object]) -> None:
    """Call a function in every forked child, in the order of registration; there is no way back.

    Args:
        function: Replaces state of a module. It must not wait, nor take a lock that it does not
            replace.
    """
    os.register_at_fork(after_in_child=function)


def at_exit(step: Callable[[], object], *, in_child: Callable[[], object] | None = None) -> None:
    """Call a function when this process exits, after those registered before it.

    Args:
        step: The function; registering it twice changes nothing.
        in_child: Called in a forked child at once, which then forgets the step: what it ends is
            the parent's. None: the child takes the step as well, for what it has made itself.
    """
    _exit_steps.setdefault(step, in_child)
    # Before all that `atexit` knows by now: Modal's SDK stops its loop there
    atexit.unregister(_exit)
    atexit.register(_exit)


def unregister(step: Callable[[], object]) -> None:
    """Forget a step of `at_exit`: what it ends has ended."""
    _exit_steps.pop(step, None)


def close_pipes(process: subprocess.Popen[bytes]) -> None:
    """Close a child's copies of the pipes to a parent's process, which would keep that running."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.poll()  # not our child: poll() finds none and takes it to have ended


def _exit() -> None:
    for step in list(_exit_steps):
        if step in _exit_steps:
            with contextlib.suppress(Exception):
                step()


def _forget_exit_steps() -> None:
    for step, in_child in list(_exit_steps.items()):
        if in_child is not None:
            del _exit_steps[step]
            in_child()


after_fork_in_child(_forget_exit_steps)
