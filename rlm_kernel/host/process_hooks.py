"""Hooks for this process's exit, and for the children that it forks.

**The rule for a forked child.** A child may go on using its parent's `RLM`, and starts afresh with
it: it gets an engine loop, reader threads and sandboxes when it first needs them, and closes only
those. Everything that ran at the fork is the parent's. The child does not wait for it, ends none of
it, writes nothing for it, and closes its copies of the pipes to it.

Threads do not survive a fork, and a lock that another thread held stays locked. So the child
replaces what a module keeps behind a thread or a lock (`after_fork_in_child`).

**The rule for the exit.** `atexit` calls the newest function first. Here the oldest step comes
first: code that uses sandboxes registers before any sandbox exists, so that runs are closed while
their sandboxes still work.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

T = TypeVar("T")

_beginners: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()
_exit_steps: dict[Callable[[], object], Callable[[], object] | None] = {}


def after_fork_in_child(function: Callable[[], object]) -> None:
    """Call a function in every forked child, in the order of registration, for good.

    The function replaces state of a module. It must not wait, nor take a lock that it does not
    replace.
    """
    os.register_at_fork(after_in_child=function)


def begin_anew_in_child(owner: T, begin: Callable[[T], object]) -> None:
    """Call `begin(owner)` in every forked child, for as long as the owner lives.

    Args:
        owner: An object with a lock or a thread; it is not kept alive.
        begin: Gives the owner new ones, under the rule of `after_fork_in_child`.
    """
    _beginners[owner] = begin


def at_exit(step: Callable[[], object], *, in_child: Callable[[], object] | None = None) -> None:
    """Call a function once when this process exits, after those registered before it.

    Args:
        step: The function.
        in_child: Called in a forked child at once, which then forgets the step, because what the
            step ends is the parent's. None: the child takes the step too, for what it made itself.
    """
    _exit_steps.setdefault(step, in_child)
    # Before all that is registered with `atexit` so far: Modal's SDK stops its loop there
    atexit.unregister(_exit)
    atexit.register(_exit)


def unregister(step: Callable[[], object]) -> None:
    """Remove a step of `at_exit` that has nothing left to end."""
    _exit_steps.pop(step, None)


def close_pipes(process: subprocess.Popen[bytes]) -> None:
    """Close a child's copies of the pipes to its parent's process: they would keep that running."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.poll()  # it is not our child, so poll() takes it to have ended


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


def _begin_anew() -> None:
    for owner, begin in list(_beginners.items()):
        begin(owner)


after_fork_in_child(_forget_exit_steps)
after_fork_in_child(_begin_anew)
