"""Recursive language models: the model works on its context in a REPL, and calls models there."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rlm.errors import (
    ArgumentError,
    BackendError,
    BudgetExceededError,
    CancellationError,
    ConfigurationError,
    ContextError,
    ContextMismatchError,
    ContextWindowError,
    ErrorThresholdExceededError,
    KernelDiedError,
    LimitExceededError,
    MissingKeyError,
    MissingPackageError,
    ReplayMissError,
    ReplayWarning,
    RLMError,
    SandboxError,
    TimeoutExceededError,
    TokenLimitExceededError,
    UnknownCostError,
)

if TYPE_CHECKING:
    from rlm.api.rlm import RLM
    from rlm.api.run_handle import RunHandle
    from rlm.core.types import RLMChatCompletion
    from rlm.logger.jsonl import RLMLogger
    from rlm.trajectory import Trajectory
    from rlm.usage import ModelUsageSummary, UsageSummary

    __version__: str

__all__ = [
    "RLM",
    "ArgumentError",
    "BackendError",
    "BudgetExceededError",
    "CancellationError",
    "ConfigurationError",
    "ContextError",
    "ContextMismatchError",
    "ContextWindowError",
    "ErrorThresholdExceededError",
    "KernelDiedError",
    "LimitExceededError",
    "MissingKeyError",
    "MissingPackageError",
    "ModelUsageSummary",
    "RLMChatCompletion",
    "RLMError",
    "RLMLogger",
    "ReplayMissError",
    "ReplayWarning",
    "RunHandle",
    "SandboxError",
    "TimeoutExceededError",
    "TokenLimitExceededError",
    "Trajectory",
    "UnknownCostError",
    "UsageSummary",
    "__version__",
    "load_ipython_extension",
    "unload_ipython_extension",
]

_MODULES = {
    "RLM": "rlm.api.rlm",
    "ModelUsageSummary": "rlm.usage",
    "RLMChatCompletion": "rlm.core.types",
    "RLMLogger": "rlm.logger.jsonl",
    "RunHandle": "rlm.api.run_handle",
    "Trajectory": "rlm.trajectory",
    "UsageSummary": "rlm.usage",
}


def load_ipython_extension(shell: Any) -> None:
    """Load the magics into the user's shell, for ``%load_ext rlm``.

    Args:
        shell: The IPython shell.
    """
    import rlm_ipython

    rlm_ipython.load_ipython_extension(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Remove the magics from the user's shell, for ``%unload_ext rlm``.

    Args:
        shell: The IPython shell.
    """
    import rlm_ipython

    rlm_ipython.unload_ipython_extension(shell)


def __getattr__(name: str) -> Any:
    """Load the rest on demand: errors are cheap to import, the engine is not."""
    value: Any
    if name == "__version__":
        from importlib.metadata import version  # 20 ms that few need

        value = version("rlm-kernel")
    elif name in _MODULES:
        value = getattr(importlib.import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'rlm' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, "__version__"})
