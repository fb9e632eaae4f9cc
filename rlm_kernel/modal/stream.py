"""A process's stdin and stdout in a Modal sandbox as a byte stream that survives outages.

The SDK retries for about ten seconds, then raises. It keeps its byte offset in both directions, and
Modal drops bytes that it already has. So another call continues where the connection broke: nothing
is lost and nothing happens twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_UNSENT = 1 << 20
"""Bytes that may wait for the next request while Modal answers one."""

_ANSWER_SECONDS = 30.0
"""A write that takes longer is sent again; Modal knows which bytes it has."""

_QUIET_SECONDS = 20.0
"""After this silence the reader is opened again: a live sandbox answers pings more often."""

_PAUSE_SECONDS = 0.5


class ModalStream:
    """The stream to a fork server (see `rlm_kernel.relay.machine.ByteStream`).

    Args:
        process: The result of `modal.Sandbox.exec(..., text=False)`.
        ended: Returns why the sandbox has ended; None while it runs, or when that is unknown.
        patience: Seconds that an outage may last.
    """

    def __init__(
        self, process: Any, ended: Callable[[], Awaitable[str | None]], patience: float
    ) -> None:
        self._process = process
        self._ended = ended
        self._patience = patience
        self._chunks: Any = None
        self._unsent: list[bytes] = []
        self._size = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._broken: OSError | None = None
        self._closed = False
        self._writer = asyncio.create_task(self._write(), name="rlm modal writer")

    async def read(self) -> bytes:
        """Return the next bytes of stdout; empty at the end."""
        outage = _Outage(self._patience, self._ended)
        while not self._closed:
            if self._chunks is None:
                self._chunks = aiter(self._process.stdout)
            try:
                async with asyncio.timeout(_QUIET_SECONDS):
                    return bytes(await anext(self._chunks))
            except StopAsyncIteration:
                return b""
            except Exception as error:  # noqa: BLE001 - whatever the SDK raises
                self._chunks = None
                await outage.ride_out(error)
        return b""

    async def write(self, data: bytes) -> None:
        """Send bytes to stdin soon; one request carries all bytes that wait."""
        while self._size >= MAX_UNSENT and self._broken is None:
            self._room.clear()
            await self._room.wait()
        if self._broken is not None:
            raise self._broken
        self._unsent.append(data)
        self._size += len(data)
        self._wake.set()

    async def close(self) -> None:
        """Stop reading and writing, without telling the process."""
        self._closed = True
        self._writer.cancel()
        await asyncio.wait([self._writer])
        chunks, self._chunks = self._chunks, None
        if chunks is not None:
            with contextlib.suppress(Exception):
                await chunks.aclose()

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._unsent:
                    data = b"".join(self._unsent)
                    self._unsent.clear()
                    await self._send(data)
                    self._size -= len(data)
                    self._room.set()
        except OSError as error:
            self._broken = error
            self._room.set()

    async def _send(self, data: bytes) -> None:
        outage = _Outage(self._patience, self._ended)
        # One after the other: the SDK drops bytes that are written while it drains
        self._process.stdin.write(data)
        while True:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self._process.stdin.drain.aio()
            except Exception as error:  # noqa: BLE001 - whatever the SDK raises
                await outage.ride_out(error)
            else:
                return


class _Outage:
    """A time without any successful transfer."""

    def __init__(self, patience: float, ended: Callable[[], Awaitable[str | None]]) -> None:
        self._patience = patience
        self._ended = ended
        self._since = time.monotonic()  # an idle stream has a ping's answer every few seconds

    async def ride_out(self, error: Exception) -> None:
        """Wait a little before the next try.

        Raises:
            OSError: The sandbox has ended, or the outage lasts too long.
        """
        if is_final(error):
            raise ConnectionResetError(f"Modal says {_text(error)}") from error
        if why := await self._ended():
            raise ConnectionResetError(why) from error
        waited = time.monotonic() - self._since
        if waited > self._patience:
            raise TimeoutError(
                f"Modal did not answer for {waited:.0f} s (reconnect_timeout): {_text(error)}"
            ) from error
        await asyncio.sleep(_PAUSE_SECONDS)


def is_final(error: Exception) -> bool:
    """Return whether an error of the SDK will come again at every try."""
    import modal.exception as errors

    return isinstance(
        error,
        errors.NotFoundError
        | errors.InvalidError
        | errors.PermissionDeniedError
        | errors.UnimplementedError
        | errors.ClientClosed,
    )


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
