"""What every sandbox does for its users: it runs kernels and holds the values they open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm_kernel.context.value import ContextValue, PlacedContext
    from rlm_kernel.host.fork_server import KernelProcess
    from rlm_kernel.host.kernel_options import KernelOptions


class MessageChannels(Protocol):
    """The shell, control and iopub channels of one kernel."""

    @property
    def session_id(self) -> str:
        """The id that our messages carry, and no other client's."""
        ...

    def send(
        self,
        channel: str,
        msg_type: str,
        content: dict[str, Any],
        buffers: list[bytes] | None = None,
    ) -> str:
        """Send a message and return its id."""
        ...

    def close(self) -> None:
        """Close them."""
        ...


class Sandbox(Protocol):
    """The place where the kernels of one tree live.

    All methods run on one event loop. Whoever makes a sandbox closes it. When a whole sandbox is
    lost (a cell can kill its way there), the next `start_kernel` opens a new one and places every
    value again.
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

    async def start_kernel(self, options: KernelOptions) -> tuple[KernelProcess, dict[str, Any]]:
        """Start a kernel's process; sessions call this, also to restart.

        Returns:
            The process, and its connection info as in a Jupyter connection file.
        """
        ...

    def open_channels(
        self,
        process: KernelProcess,
        connection: dict[str, Any],
        on_message: Callable[[str, dict[str, Any]], None],
    ) -> MessageChannels:
        """Open a session's channels to a kernel that `start_kernel` has started.

        Args:
            process: The kernel.
            connection: Its connection info.
            on_message: Called with the channel's name and each (verified) message.
        """
        ...

    async def close(self) -> None:
        """End every kernel and remove everything in the sandbox."""
        ...
