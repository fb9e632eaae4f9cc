"""Which models the sub-calls of a run went to, also in the record of a fork."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.trajectory import RunNode


def models_met(root: RunNode) -> list[str]:
    """Return the models that sub-calls of a tree went to, in the order of the first ones."""
    calls = (call.started for run in root.walk() for call in run.sub_calls)
    return list(dict.fromkeys(call.model for call in calls if call.kind != "tool"))


def default_model(root: RunNode) -> str:
    """Return the model that a call which names none goes to."""
    models = _settings(root).get("models")
    return str(models[0]) if isinstance(models, list) and models else root.started.model


def models_before(root: RunNode) -> list[str]:
    """Return the models, beside its default, that a fork's calls without a model may have gone to.

    The turns before the fork were recorded by the run that was forked, whose default model may
    have been another: that one comes first. A run that is no fork has none.
    """
    settings = _settings(root)
    if "forked_from" not in settings:
        return []
    forked = settings["forked_from"]
    default = forked.get("model") if isinstance(forked, dict) else None
    first = [default] if isinstance(default, str) else []  # earlier versions did not say
    return list(dict.fromkeys([*first, *models_met(root)]))


def _settings(root: RunNode) -> dict[str, Any]:
    settings = root.started.config.get("settings")
    return settings if isinstance(settings, dict) else {}
