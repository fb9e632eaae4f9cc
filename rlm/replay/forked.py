"""The record of a fork: its first turns asked the models of the run that was forked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlm.trajectory import RunNode


def models_met(root: RunNode) -> list[str]:
    """Return the models that sub-calls of a tree went to, in the order of the first ones.

    Args:
        root: The tree's.
    """
    calls = (call.started for run in root.walk() for call in run.sub_calls)
    return list(dict.fromkeys(call.model for call in calls if call.kind != "tool"))


def models_before(root: RunNode) -> list[str]:
    """Return where else than to its own default model a call may have gone that named none.

    A fork's configuration says whom it asked; what came before its turn, the run that was forked
    had asked of its own models. There is none in a run that is no fork.

    Args:
        root: The recorded run.
    """
    settings = root.started.config.get("settings")
    forked = isinstance(settings, dict) and "forked_from" in settings
    return models_met(root) if forked else []
