"""What an environment provides for a relayed sandbox: a machine, and the byte stream to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rlm_kernel.context.value import ContextValue

ROOT = "/tmp/rlm"  # noqa: S108 - in a sandbox of our own
"""The sandbox's directory, as seen from inside."""


class ByteStream(Protocol):
    """A duplex stream to a sandbox's fork server, used from one event loop."""

    async def read(self) -> bytes:
        """Return the next bytes as soon as there are any; empty at the stream's end.

        Raises:
            OSError: The stream broke.
        """

    async def write(self, data: bytes) -> None:
        """Write all of `data`; returns when there is room for more.

        Raises:
            OSError: The stream broke.
        """

    async def close(self) -> None:
        """Close both directions; may be called twice."""


class Machine(Protocol):
    """A machine that an environment runs for one sandbox."""

    @property
    def stream(self) -> ByteStream:
        """The stream to `rlm_kernel.relay.bootstrap.BOOTSTRAP`, which has `ROOT` as argument."""

    @property
    def workdir(self) -> str | None:
        """The folder in which cells start; None for each kernel's own."""

    async def place(self, value: ContextValue, path: str) -> int | None:
        """Write a value to a new file by a faster way than the stream.

        Returns:
            The file's size in bytes; None when the caller should use the stream.
        """

    async def end(self, *, ended: bool) -> None:
        """End the machine, unless it has `ended` by itself, and leave nothing of it."""

    async def exit_reason(self) -> str:
        """Say why it ended; empty when the environment does not know."""
