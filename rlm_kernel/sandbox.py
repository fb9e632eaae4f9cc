"""What a sandbox is to its users: a place for kernels and for the values they open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rlm_kernel.options import KernelOptions
    from rlm_kernel.payload import ContextValue, PlacedContext
    from rlm_kernel.server import KernelProcess
    from rlm_kernel.session import CallHandler, Session


class Sandbox(Protocol):
    """The place where the kernels of one tree live.

    All methods run on one event loop. Whoever makes a sandbox closes it.
    """

    async def start(self) -> None:
        """Start it, or wait until it has started.

        Raises:
            SandboxError: It cannot be started.
        """
        ...

    async def place(self, value: ContextValue) -> PlacedContext:
        """Put a value where every kernel of this sandbox can open it.

        Raises:
            ContextError: There is no room for it.
        """
        ...

    async def discard(self, placed: PlacedContext) -> None:
        """Remove a placed value that no kernel needs any more."""
        ...

    async def spawn(self, options: KernelOptions, on_call: CallHandler) -> Session:
        """Start a kernel and return the session that drives it.

        Raises:
            SandboxError: It cannot be started.
            KernelDiedError: It ended while it started (its `setup_code` may be why).
        """
        ...

    async def start_kernel(self, options: KernelOptions) -> tuple[KernelProcess, dict[str, Any]]:
        """Start a kernel's process; sessions call this, also to restart.

        Returns:
            The process, and its connection info as in a Jupyter connection file.
        """
        ...

    async def close(self) -> None:
        """End every kernel and remove all that the sandbox holds."""
        ...
