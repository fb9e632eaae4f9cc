"""The options of a model's kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OUTPUT_LIMIT = 4_000_000
"""Characters that one cell may write by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelOptions:
    """The options of a model's kernel.

    Attributes:
        setup_code: Code to run before the first cell, and again after a restart.
        memory_limit: Bytes that the kernel may allocate; None bounds nothing.
        output_limit: Characters that one cell may write.
        tools: Names of the host callables that cells may call.
        env: Environment variables to add to the scrubbed ones.
        sys_path: Folders from which the user's own modules can be imported.
    """

    setup_code: str | None = None
    memory_limit: int | None = None
    output_limit: int = OUTPUT_LIMIT
    tools: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    sys_path: tuple[str, ...] = ()

    def spawn_fields(self) -> dict[str, Any]:
        """Return the fields of a ``spawn`` request that are the same in every sandbox."""
        return {
            "repl": {"tools": list(self.tools), "output_limit": self.output_limit},
            "env": self.env,
            "memory_limit": self.memory_limit,
        }
