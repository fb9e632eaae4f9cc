"""Process trees on Linux and macOS: their members, their memory, and how to end them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    """Call `prctl`; do nothing on macOS, which has none."""
    if _LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def adopt_orphans() -> None:
    """Make this process the new parent of its descendants' orphans, even after a `setsid`.

    A forked child does not inherit this.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have Linux end this process with its parent, or exit now when the parent is gone."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def hide(*, hidden: bool = True) -> None:
    """Close this process's memory and files in /proc to others of its user, or open them again.

    Forked children inherit this.
    """
    _prctl(_PR_SET_DUMPABLE, 0 if hidden else 1)


def offer_to_oom_killer() -> None:
    """Have Linux end this process before others of its user when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60


def lower_priority() -> None:
    """Lower the priority of this process and all that it starts below the fork server's.

    So a fork bomb cannot keep the fork server and its pump from ending it. Done only where the
    container's processes share one part of the processors: anywhere else we would give way to the
    host's own programs.
    """
    if any((_CGROUP / name).exists() for name in ("cpu.weight", "cpu/cpu.shares")):
        with contextlib.suppress(OSError):
            os.nice(19)


def oom_kills() -> int:
    """Return how often this container's memory limit has ended a process; 0 where unknown."""
    for name in ("memory.events", "memory/memory.oom_control"):  # cgroup version 2, and 1
        with contextlib.suppress(OSError, ValueError):
            for line in (_CGROUP / name).read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
    return 0


def memory_of_group() -> int:
    """Return this container's memory limit in bytes; 0 when there is none, or it is unknown."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limit = int((_CGROUP / name).read_text())
            return limit if limit < _UNLIMITED else 0
    return 0


def children(pid: int) -> list[int]:
    """Return the processes whose parent is `pid`."""
    if not _LINUX:
        return _children_by_listing(pid)
    found: list[int] = []
    with contextlib.suppress(OSError):  # it is gone, or its last thread is
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def _children_by_listing(pid: int) -> list[int]:
    command = ["/bin/ps", "-axo", "pid=,ppid="]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listing:
        assert listing.stdout is not None
        pairs = [tuple(map(int, line.split())) for line in listing.stdout]
    return [child for child, parent in pairs if parent == pid and child != listing.pid]


def descendants(pid: int) -> list[int]:
    """Return all processes below `pid`, parents before children."""
    found: list[int] = []
    queue = [pid]
    while queue:
        below = children(queue.pop(0))
        found += below
        queue += below
    return found


def others() -> list[int]:
    """Return every other process of this container; outside of one, our descendants."""
    if os.getpid() != 1:
        return descendants(os.getpid())
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if pid != 1 and not _is_dead(pid)]


def _is_dead(pid: int) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


def send(pid: int, signum: int) -> None:
    """Send a signal, unless the process is gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signum)


def kill_tree(pid: int) -> None:
    """End a process and everything below it.

    We stop all of them before we kill any, so that none can go on forking: first the process group
    that it leads, then from the top down those that have left it. When they fork faster than that
    and this is a container of ours, we stop everything in the container until they are killed.
    """
    seen: set[int] = set()
    fresh = [pid]
    held = False
    _send_to_group(pid, signal.SIGSTOP)
    while fresh:
        for one in fresh:
            send(one, signal.SIGSTOP)
        seen.update(fresh)
        if not held and len(seen) > _MANY and os.getpid() == 1:
            held = True
            send(-1, signal.SIGSTOP)
        fresh = [one for one in descendants(pid) if one not in seen]
    _send_to_group(pid, signal.SIGKILL)
    for one in seen:
        send(one, signal.SIGKILL)
    if held:
        send(-1, signal.SIGCONT)


_MANY = 64
"""With more processes than this in a tree we stop the whole container."""


def _send_to_group(pid: int, signum: int) -> None:
    """Send a signal to the process group that a process leads, if any."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid != os.getpgrp():
            os.killpg(pid, signum)


def tree_bytes(pid: int, limit: int) -> int:
    """Return the memory of a process and everything below it, in bytes.

    Forked children share their parent's pages. To count those once is slow, so we do it only when
    the quick count (which counts them for each process) is over `limit`.
    """
    below = [pid, *descendants(pid)]
    quick = sum(map(_resident_bytes, below))
    return quick if quick <= limit or not _LINUX else sum(map(_proportional_bytes, below))


def _proportional_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _resident_bytes(pid: int) -> int:
    """Return a process's resident memory in bytes; 0 when unknown."""
    if not _LINUX:
        return 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0
