"""Removes what cells leave behind in a container besides processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from pathlib import Path
from typing import Any

FOLDERS = ("/tmp", "/dev/shm", "/var/tmp", "/dev/mqueue")  # noqa: S108 - of a container
"""Where a cell can write besides volumes."""


def remove_all() -> None:
    """Remove everything that our user may remove; `is_empty` checks the result."""
    for folder in filter(os.path.isdir, FOLDERS):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    _remove_tree(entry.path)
                else:
                    os.unlink(entry.path)  # noqa: PTH108 - plain strings, maybe many
    libc: Any = ctypes.CDLL(None)
    for identifier in _system_v("shm"):
        libc.shmctl(identifier, 0, None)
    for identifier in _system_v("sem"):
        libc.semctl(identifier, 0, 0)
    for identifier in _system_v("msg"):
        libc.msgctl(identifier, 0, None)


def is_empty() -> bool:
    """Return whether nothing is left."""
    left = [os.listdir(folder) for folder in FOLDERS if _is_writable(folder)]  # noqa: PTH208 - same
    return not any((*left, _system_v("shm"), _system_v("sem"), _system_v("msg")))


def _is_writable(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.W_OK)  # noqa: PTH112 - same


def _remove_tree(path: str) -> None:
    """Remove a directory, even when its modes forbid it."""
    os.chmod(path, 0o700)  # noqa: PTH101 - same
    for folder, names, _ in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError, NotImplementedError):
                os.chmod(f"{folder}/{name}", 0o700, follow_symlinks=False)  # noqa: PTH101 - same
    shutil.rmtree(path, ignore_errors=True)


def _system_v(kind: str) -> list[int]:
    """Return the ids of System V objects, which no folder shows."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
        return [int(line.split()[1]) for line in lines]
    return []
