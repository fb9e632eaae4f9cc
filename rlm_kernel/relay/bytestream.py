"""The duplex stream of bytes that carries frames to a sandbox and back."""

from __future__ import annotations

from typing import Protocol


class ByteStream(Protocol):
    """A duplex stream to a sandbox's fork server; used from one event loop."""

    async def read(self) -> bytes:
        """Return the next bytes as soon as there are any; empty at the stream's end.

        Raises:
            OSError: The stream broke.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Write all of `data`; returns when there is room for more.

        Raises:
            OSError: The stream broke.
        """
        ...

    async def close(self) -> None:
        """Close both directions; may be called twice."""
        ...
