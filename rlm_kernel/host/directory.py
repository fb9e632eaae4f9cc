"""A tree's directory on the host for sockets and connection files; it is removed with the tree.

A host that is killed leaves its directory behind, and the next host removes it. A file lock, which
ends with the process, tells whether the host lives: a process id means nothing in another
container.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

from rlm_kernel.errors import SandboxError

_LOCK = "host.lock"
_YOUNG_SECONDS = 60
"""A younger directory may not be locked yet."""

_LONGEST_ROOT = 80
"""Characters of the parent directory's path: a unix socket's path has 107 bytes at most."""


def make_root() -> Path:
    """Make a private directory whose path is short enough for sockets."""
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes it safely
        if len(parent) <= _LONGEST_ROOT:
            return Path(tempfile.mkdtemp(prefix="rlm-", dir=parent))
    raise SandboxError(
        f"The temporary directory's path is too long for sockets: {tempfile.gettempdir()!r}. "
        "Set TMPDIR to a shorter one."
    )


class HostDirectory:
    """A private directory with a short path, locked while it is in use."""

    def __init__(self) -> None:
        self.path = make_root()
        self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Unlock and remove the directory."""
        os.close(self._lock)
        shutil.rmtree(self.path, ignore_errors=True)


def remove_stale(parent: Path) -> None:
    """Remove the directories in `parent` that hosts of this user left when they were killed."""
    for lock in parent.glob(f"rlm-*/{_LOCK}"):
        with contextlib.suppress(OSError):
            if time.time() - lock.stat().st_mtime < _YOUNG_SECONDS:
                continue
            fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held: its host lives
                shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(fd)
