"""What an environment provides for a relayed sandbox: a machine, such as a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rlm_kernel.context.value import ContextValue
    from rlm_kernel.relay.bytestream import ByteStream

ROOT = "/tmp/rlm"  # noqa: S108 - in a sandbox of our own
"""The sandbox's directory, as seen from inside."""


class Machine(Protocol):
    """A machine that an environment runs for one sandbox."""

    @property
    def stream(self) -> ByteStream:
        """Leads to `rlm_kernel.relay.bootstrap.BOOTSTRAP` in it, which was given `ROOT`."""
        ...

    @property
    def workdir(self) -> str | None:
        """The folder in which cells start; None for each kernel's own."""
        ...

    async def place(self, value: ContextValue, path: str) -> int | None:
        """Write a value to a new file by a faster way than the stream.

        Returns:
            The file's size in bytes; None when the stream is the way.
        """
        ...

    async def end(self, *, ended: bool) -> None:
        """End the machine; nothing of it is left then.

        Args:
            ended: Whether it has ended by itself already.
        """
        ...

    async def exit_reason(self) -> str:
        """Say why it ended, as far as the environment knows; empty when it does not."""
        ...
