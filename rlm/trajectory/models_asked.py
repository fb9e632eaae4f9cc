"""Which models the sub-calls of a recorded run asked, including those of a fork."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.trajectory import RunNode


def models_met(root: RunNode) -> list[str]:
    """Return the models that sub-calls of a tree asked, in the order of their first calls."""
    calls = (call.started for run in root.walk() for call in run.sub_calls)
    return list(dict.fromkeys(call.model for call in calls if call.kind != "tool"))


def default_model(root: RunNode) -> str:
    """Return the model that a call without a model asks."""
    models = settings_of(root).get("models")
    return str(models[0]) if isinstance(models, list) and models else root.started.model


def models_before(root: RunNode) -> list[str]:
    """Return the models, other than the default, that calls without a model may ask in a fork.

    The forked run recorded the turns before the fork, and may have had another default model: that
    one is first. A run that is no fork has none.
    """
    settings = settings_of(root)
    if "forked_from" not in settings:
        return []
    forked = settings["forked_from"]
    default = forked.get("model") if isinstance(forked, dict) else None
    first = [default] if isinstance(default, str) else []  # earlier versions did not log it
    return list(dict.fromkeys([*first, *models_met(root)]))


def settings_of(root: RunNode) -> dict[str, Any]:
    """Return the part of a recorded configuration that holds most arguments of `RLM`."""
    settings = root.started.config.get("settings")
    return settings if isinstance(settings, dict) else {}
