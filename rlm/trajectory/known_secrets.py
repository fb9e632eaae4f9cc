"""The secrets that this process knows of: no log may hold them, wherever they turn up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rlm.redaction import long_secrets, spellings

if TYPE_CHECKING:
    from collections.abc import Iterable

_of_runs: set[str] = set()


def known_secrets() -> tuple[str, ...]:
    """Return what is to be masked: what is in this process's environment, or was given to a run.

    No kernel is given any of the former, but code on this machine can find it all the same; what a
    run's `environment_kwargs` bring is there to be found.

    Returns:
        Every spelling of each; the longest first, because one may be a part of another.
    """
    found = _of_runs.union(*map(spellings, long_secrets(dict(os.environ))))
    return tuple(sorted(found, key=len, reverse=True))


def remember_secrets(secrets: Iterable[str]) -> None:
    """Know the secrets of a run from now on.

    No record of the run holds them; they are kept here for the life of the process, because
    nobody can tell how long there is a copy of a record that has them in its texts.

    Args:
        secrets: Those of its configuration.
    """
    _of_runs.update(*map(spellings, secrets))
