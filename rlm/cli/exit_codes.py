"""The exit codes of the command."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of `rlm`."""

    OK = 0
    ERROR = 1
    USAGE = 2
    LIMIT = 3
    CANCELLED = 130
