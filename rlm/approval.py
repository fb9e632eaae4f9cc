"""The old name of `rlm.api.approval`."""

from rlm.api.approval import ask

__all__ = ["ask"]
