"""Readers of a run's events (logs, console, callbacks, OpenTelemetry), and their delivery."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm.logger.callbacks import CallbackReader
    from rlm.logger.console import ConsoleReader
    from rlm.logger.delivery import Delivery
    from rlm.logger.jsonl import RLMLogger
    from rlm.logger.notebook_log import NotebookLog
    from rlm.logger.otel import OTelReader

__all__ = ["CallbackReader", "ConsoleReader", "Delivery", "NotebookLog", "OTelReader", "RLMLogger"]

# Loaded on first use: `import rlm` imports this module and must stay light.
_MODULES = {
    "CallbackReader": "rlm.logger.callbacks",
    "ConsoleReader": "rlm.logger.console",
    "Delivery": "rlm.logger.delivery",
    "NotebookLog": "rlm.logger.notebook_log",
    "OTelReader": "rlm.logger.otel",
    "RLMLogger": "rlm.logger.jsonl",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'rlm.logger' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
