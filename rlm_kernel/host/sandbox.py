"""The interface of every sandbox: it runs kernels and holds the values that they open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm_kernel.context.value import ContextValue, PlacedContext
    from rlm_kernel.host.fork_server import KernelProcess
    from rlm_kernel.host.kernel_options import KernelOptions

OnMessage = Callable[[str, dict[str, Any]], None]
"""Called with the channel (``"shell"``, ``"control"`` or ``"iopub"``) and the message."""


class MessageChannels(Protocol):
    """The shell, control and iopub channels of one kernel."""

    @property
    def session_id(self) -> str:
        """The session id in our messages, which no other client has."""

    def send(
        self, channel: str, msg_type: str, content: dict[str, Any], buffers: Sequence[bytes] = ()
    ) -> str:
        """Send a message and return its id."""

    def close(self) -> None:
        """Close the channels."""


class Sandbox(Protocol):
    """The place where the kernels of one tree live.

    All methods run on one event loop. The maker of a sandbox closes it. When a whole sandbox is
    lost (a cell can kill all its processes), the next `start_kernel` opens a new one and places
    every value again.
    """

    async def start(self) -> None:
        """Start the sandbox, or wait until it has started.

        Raises:
            SandboxError: It cannot be started.
        """

    async def place(self, value: ContextValue) -> PlacedContext:
        """Put a value where every kernel of this sandbox can open it.

        Raises:
            ContextError: There is no room for it.
        """

    async def discard(self, placed: PlacedContext) -> None:
        """Remove a placed value that no kernel needs any more."""

    async def start_kernel(self, options: KernelOptions) -> tuple[KernelProcess, dict[str, Any]]:
        """Start or restart a session's kernel.

        Returns:
            The process, and its connection info as in a Jupyter connection file.
        """

    def open_channels(
        self, process: KernelProcess, connection: dict[str, Any], on_message: OnMessage
    ) -> MessageChannels:
        """Open a session's channels to a kernel that `start_kernel` has started."""

    async def close(self) -> None:
        """End every kernel and remove everything in the sandbox."""
