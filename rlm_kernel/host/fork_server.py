"""The host's end of a fork server's stream: its kernels, and how they ended."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
from typing import TYPE_CHECKING, Any

from rlm_kernel.errors import FrameError, KernelDiedError, SandboxError
from rlm_kernel.protocol import frames

if TYPE_CHECKING:
    from collections.abc import Callable


class KernelProcess:
    """A kernel's process in a sandbox.

    Attributes:
        number: The kernel's number on its stream.
        pid: Its process id inside the sandbox; None until it is known.
        died: Done when the process is gone: its exit code (negative: a signal's number).
        over_memory: The memory limit (bytes; 0: unknown) that it was killed for exceeding, or None.
        why: What the fork server said about its end, if anything.
    """

    def __init__(self, server: ForkServerClient, number: int) -> None:
        self._server = server
        self.number = number
        self.pid: int | None = None
        self.died: asyncio.Future[int | None] = server.loop.create_future()
        self.over_memory: int | None = None
        self.why = ""

    def send_signal(self, signum: int) -> None:
        """Send the process a signal."""
        self._server.send(op="signal", kernel=self.number, signal=signum)

    def kill(self) -> None:
        """Start to end the process and everything below it; `died` is done when it has ended."""
        if not self.died.done():
            self._server.send(op="kill", kernel=self.number)

    async def wait_for(self, future: asyncio.Future[Any], timeout: float | None) -> None:
        """Wait until a future is done or the process has died, `timeout` seconds at most."""
        both: list[asyncio.Future[Any]] = [future, self.died]
        await asyncio.wait(both, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    def death(self) -> KernelDiedError:
        """Return the error that says how the kernel died."""
        code = self.died.result() if self.died.done() else None
        return KernelDiedError(self.exit_reason(), exit_code=code)

    def exit_reason(self) -> str:
        """Say how the kernel died, for the user or the model."""
        if self.over_memory is not None:
            limit = f" of {self.over_memory / 1e9:.3g} GB" if self.over_memory else ""
            return f"The kernel was ended: it went over its memory limit{limit}."
        if self.why:
            return f"The kernel could not be started: {self.why}."
        code = self.died.result() if self.died.done() else None
        if code is None:
            return "The kernel was lost with its sandbox."
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"The kernel died: {signal.Signals(-code).name}."
        return f"The kernel's process exited with status {code}."


class ForkServerClient:
    """Speaks the fork server's protocol over any byte stream.

    Args:
        loop: The event loop that everything here runs on.
        write: Sends bytes to the fork server; must not block.

    Attributes:
        ready: Done when the fork server says that it is ready; fails when the stream ends first.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, write: Callable[[bytes], None]) -> None:
        self.loop = loop
        self.ready: asyncio.Future[None] = loop.create_future()
        self._write = write
        self._decoder = frames.Decoder()
        self._numbers = itertools.count(1)
        self._kernels: dict[int, KernelProcess] = {}
        self.ended = False

    def new_kernel(self) -> KernelProcess:
        """Return the process of a kernel that the caller is about to spawn."""
        if self.ended:
            raise SandboxError("The sandbox has ended; no kernel can be started in it.")
        kernel = KernelProcess(self, next(self._numbers))
        self._kernels[kernel.number] = kernel
        return kernel

    def send(self, **request: Any) -> None:
        """Send a request, unless the stream has ended."""
        if not self.ended:
            self._write(frames.encode_control(request))

    def feed(self, data: bytes) -> None:
        """Take bytes from the fork server; after a `FrameError` the caller ends the sandbox."""
        for frame in self._decoder.feed(data):
            self.take(frames.decode_control(frame))

    def take(self, report: dict[str, Any]) -> None:
        """Take a report of the fork server; a malformed one is a `FrameError`."""
        try:
            self._take(report)
        except (KeyError, TypeError, ValueError) as error:
            raise FrameError(f"A report is malformed: {error!r}") from None

    def end(self) -> None:
        """Mark the stream as ended, and every kernel as dead."""
        self.ended = True
        for kernel in self._kernels.values():
            if not kernel.died.done():
                kernel.died.set_result(None)
        self._kernels.clear()
        if not self.ready.done():
            self.ready.set_exception(SandboxError("The fork server ended before it was ready."))
            self.ready.exception()  # asyncio would report it when nobody waits for it

    def _take(self, report: dict[str, Any]) -> None:
        op = report.get("op")
        if op == "ready" and not self.ready.done():
            self.ready.set_result(None)
            return
        kernel = self._kernels.get(report.get("kernel", 0))
        if kernel is None:
            return
        if op == "spawned":
            kernel.pid = int(report["pid"])
        elif op == "over_memory":
            kernel.over_memory = int(report["limit"])
        elif op == "died":
            code = int(report["code"])
            del self._kernels[kernel.number]
            kernel.why = str(report.get("why", ""))[:200]
            if not kernel.died.done():
                kernel.died.set_result(code)
