"""The record of a fork: its first turns asked the models of the run that was forked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.trajectory import RunNode


def models_met(root: RunNode) -> list[str]:
    """Return the models that sub-calls of a tree went to, in the order of the first ones.

    Args:
        root: The tree's.
    """
    calls = (call.started for run in root.walk() for call in run.sub_calls)
    return list(dict.fromkeys(call.model for call in calls if call.kind != "tool"))


def default_model(root: RunNode) -> str:
    """Return the model that a call which names none goes to.

    Args:
        root: The recorded run.
    """
    models = _settings(root).get("models")
    return str(models[0]) if isinstance(models, list) and models else root.started.model


def models_before(root: RunNode) -> list[str]:
    """Return where else than to its own default model a call may have gone that named none.

    A fork's configuration says whom it asked; what came before its turn, the run that was forked
    had asked of its own models: of its default first. There is none in a run that is no fork.

    Args:
        root: The recorded run.
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
