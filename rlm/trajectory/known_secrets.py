"""The secrets that this process knows of: no log may hold them, wherever they turn up."""

from __future__ import annotations

import itertools
import os
import weakref
from typing import TYPE_CHECKING

from rlm.backends.redaction import long_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rlm.trajectory.fold import Trajectory

# Whoever collects garbage may forget a run amid any of these lines: what is done with this is
# atomic, and takes no lock.
_of_runs: dict[int, frozenset[str]] = {}
_numbers = itertools.count()


def known_secrets() -> tuple[str, ...]:
    """Return what is to be masked: what is in this process's environment, or was given to a run.

    No kernel is given any of the former, but code on this machine can find it all the same; what a
    run's `environment_kwargs` bring is there to be found.

    Returns:
        The longest first, because one may be a part of another.
    """
    found = set(long_secrets(dict(os.environ)))
    found.update(*list(_of_runs.values()))
    return tuple(sorted(found, key=len, reverse=True))


def keep_out(trajectory: Trajectory, secrets: Iterable[str]) -> None:
    """Know the secrets of a run, as long as there is a record of it.

    The record must not hold them itself: they are kept here, and only while it lives.

    Args:
        trajectory: The run's.
        secrets: Those of its configuration.
    """
    secrets = frozenset(secrets)
    if secrets:
        number = next(_numbers)
        _of_runs[number] = secrets
        weakref.finalize(trajectory, _of_runs.pop, number, None).atexit = False
