"""The host's handle on one kernel: runs cells, answers sub-calls, and restarts a dead kernel."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from rlm_kernel.errors import KernelDiedError
from rlm_kernel.host.cells import CellResult, CellStatus, RunningCell
from rlm_kernel.host.outputs import CellOutputs
from rlm_kernel.host.requests import Requests
from rlm_kernel.host.subcalls import Call, CallAnswer, CallHandler, SubCallDispatcher
from rlm_kernel.host.timeouts import (
    FLOOD_FACTOR,
    HELLO_SECONDS,
    IDLE_SECONDS,
    INTERRUPT_SECONDS,
    INTERRUPTS,
    KILL_SECONDS,
    START_SECONDS,
    TEXT_SECONDS,
)
from rlm_kernel.host.values import KernelValues
from rlm_kernel.protocol.subcalls import FROM_KERNEL, HELLO, REPLY

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm_kernel.context.value import PlacedContext
    from rlm_kernel.host.fork_server import KernelProcess
    from rlm_kernel.host.kernel_options import KernelOptions
    from rlm_kernel.host.sandbox import MessageChannels, Sandbox

__all__ = ["Call", "CallAnswer", "CallHandler", "CellResult", "Session", "open_session"]


MAX_TYPED = 20_000
"""Characters that are kept of a cell that another client runs."""


async def open_session(sandbox: Sandbox, options: KernelOptions, on_call: CallHandler) -> Session:
    """Start a kernel in a sandbox and connect to it.

    Raises:
        KernelDiedError: The kernel ended or stayed silent while it started, or `setup_code` failed.
    """
    session = Session(sandbox, options, on_call)
    try:
        await session._open()  # noqa: SLF001 - the two are one thing
    except BaseException:
        await session.close()
        raise
    return session


class Session:
    """Drives one kernel; made by `open_session`. All methods run on one event loop.

    Attributes:
        connection_file: Its Jupyter connection file, for `jupyter console --existing`.
        on_typed: Called with the code of each cell that another client of the kernel (a console,
            say) runs, cut at `MAX_TYPED` characters.
    """

    def __init__(self, sandbox: Sandbox, options: KernelOptions, on_call: CallHandler) -> None:
        self._sandbox = sandbox
        self._options = options
        self._on_call = on_call
        self._values = KernelValues()
        self._cells: dict[str, RunningCell] = {}
        self._lock = asyncio.Lock()
        self._process: KernelProcess
        self._channels: MessageChannels | None = None
        self._requests: Requests
        self._dispatcher: SubCallDispatcher
        self._settling: asyncio.Task[None] | None = None
        self._closed = False
        self.connection_file = ""
        self.on_typed: Callable[[str], object] | None = None

    # Life and death

    async def _open(self) -> None:
        self._process, connection = await self._sandbox.start_kernel(self._options)
        self.connection_file = connection["connection_file"]
        self._published: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        opened = self._sandbox.open_channels(self._process, connection, self._receive)
        self._channels = channels = opened
        self._requests = Requests(self._process, channels)
        self._dispatcher = SubCallDispatcher(
            self._on_call, lambda content, buffers: self._answer(channels, content, buffers)
        )
        await self._greet()
        if self._options.setup_code:
            await self._run_setup(self._options.setup_code)

    async def _greet(self) -> None:
        """Say hello until the kernel has answered and its published messages reach us.

        To wait for its `iopub_welcome` is not enough: one in a thousand never comes, because
        ipykernel sends it on the stream's bare socket. Each hello makes the kernel publish its
        status, which proves the subscription as well.
        """
        died = self._process.died
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        hello = heard = False
        while not (hello and heard):
            reply = self._requests.send("control", HELLO, {})
            for news in (reply, self._published):
                await self._process.wait_for(news, HELLO_SECONDS)
            hello, heard = hello or reply.done(), self._published.done()
            reply.cancel()
            if died.done():
                raise self._process.death()
            if asyncio.get_running_loop().time() > deadline:
                raise KernelDiedError(
                    f"The kernel did not answer within {START_SECONDS:.0f} s of its start."
                )

    async def _run_setup(self, code: str) -> None:
        result = await self.execute(code)
        if result.status != "ok":
            raise KernelDiedError(
                "setup_code (environment_kwargs) failed when the kernel started: "
                f"{result.error or result.status}"
            )

    async def restart(self) -> None:
        """Start a new kernel in place of the lost one.

        It gets the contexts, histories, tools and `setup_code`; the model's variables are lost.

        Raises:
            KernelDiedError: The new kernel did not start.
        """
        await self._end()
        if self._closed:
            raise KernelDiedError("The session is closed.")
        await self._open()
        await self._values.restore(self._requests)

    async def close(self) -> None:
        """End the kernel and everything that it started."""
        self._closed = True
        if self._settling is not None:
            self._settling.cancel()
        await self._end()

    async def _end(self) -> None:
        channels, self._channels = self._channels, None
        if channels is None:
            return
        self._requests.close()
        tasks = self._dispatcher.cancel_all()
        self._process.kill()
        if tasks:
            await asyncio.wait(tasks, timeout=INTERRUPT_SECONDS)
        await asyncio.wait([self._process.died], timeout=KILL_SECONDS)
        channels.close()

    # What the REPL holds

    async def attach(self, name: str, placed: PlacedContext) -> None:
        """Bind a context in the REPL and begin a run, which resets `answer`.

        Args:
            name: The variable; ``context_0`` also binds ``context``.
            placed: The value in this session's sandbox.

        Raises:
            ContextError: The kernel cannot load it.
        """
        await self._values.attach(self._requests, name, placed)

    async def assign(self, name: str, value: Any, *, append: bool = False) -> None:
        """Bind a JSON value in the REPL, also after a restart.

        Args:
            name: The variable; ``history_0`` also binds ``history``.
            value: JSON.
            append: Extend the list that the name is bound to already.

        Raises:
            ContextError: The kernel refuses the value.
            KernelDiedError: The kernel has died; a restarted one gets the value.
        """
        await self._values.assign(self._requests, name, value, append=append)

    async def variable(self, name: str) -> str | None:
        """Return `str()` of a variable; None when there is no such variable."""
        try:
            reply = await self._requests.ask(
                "rlm_variable_request", {"name": name}, within=TEXT_SECONDS
            )
        except (TimeoutError, KernelDiedError):
            self._process.kill()  # its __str__ never ends; SIGINT does not reach it
            return None
        text = reply.get("text")
        return text if isinstance(text, str) else None

    # Cells

    async def execute(
        self,
        code: str,
        *,
        timeout: float | None = None,
        on_output: Callable[[dict[str, Any]], None] | None = None,
    ) -> CellResult:
        """Run a cell; errors are in the result. A cancelled caller interrupts the cell.

        Args:
            code: The cell.
            timeout: Seconds after which the cell is interrupted; its kernel is killed when that
                does not help.
            on_output: Called with each output when it arrives.
        """
        async with self._lock:
            if self._settling is not None:
                await asyncio.wait({self._settling})  # cancelling this wait does not cancel it
                self._settling = None
            channels = self._channels
            if channels is None or self._process.died.done():
                return CellResult(
                    status="died",
                    variables={},
                    error=self._process.exit_reason(),
                    duration=0.0,
                    restarted=True,
                )
            cell = RunningCell(CellOutputs(self._options.output_limit, on_output))
            content = {
                "code": code,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": False,
            }
            msg_id = channels.send("shell", "execute_request", content)
            self._cells[msg_id] = cell
            try:
                return await self._finish(cell, timeout)
            except asyncio.CancelledError:
                self._settle_soon(cell)
                raise
            finally:
                self._retire(msg_id)

    def _retire(self, msg_id: str) -> None:
        """Forget a cell; first wait for the task that is stopping it, if any."""
        if self._settling is None:
            del self._cells[msg_id]
        else:
            self._settling.add_done_callback(lambda _: self._cells.pop(msg_id, None))

    async def _finish(self, cell: RunningCell, timeout: float | None) -> CellResult:
        died = self._process.died
        await self._process.wait_for(cell.reply, timeout)
        if not cell.reply.done() and not died.done():
            await self._stop(cell, "timeout")
        if cell.reply.done():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(cell.idle.wait(), IDLE_SECONDS)
        return cell.result(lost=died.done(), exit_reason=self._process.exit_reason())

    async def _stop(self, cell: RunningCell, why: CellStatus) -> None:
        """Interrupt a cell; kill its kernel when that does not stop it."""
        cell.stopped_for = cell.stopped_for or why
        self._dispatcher.cancel_all()
        died = self._process.died
        for _ in range(INTERRUPTS):  # the first may come before the cell has begun
            interrupt = self._requests.send("control", "interrupt_request", {})
            over = cell.idle.is_set()
            await self._process.wait_for(cell.reply, INTERRUPT_SECONDS / INTERRUPTS)
            if over:  # the interrupt worked, and cost the cell its reply
                cell.give_up()
            if cell.reply.done() or died.done():
                # An interrupt that is still under way would hit the next cell
                await self._process.wait_for(interrupt, INTERRUPT_SECONDS)
                return
        cell.killed = True
        self._process.kill()
        await asyncio.wait([died], timeout=KILL_SECONDS)

    async def interrupt(self) -> None:
        """Interrupt the running cell, if any, and fail its calls."""
        for cell in list(self._cells.values()):
            await self._stop(cell, "interrupted")

    # Messages

    def _receive(self, channel: str, message: dict[str, Any]) -> None:
        """Take a message of the kernel, which may hold anything; drop a malformed one."""
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
            self._take(channel, message)

    def _take(self, channel: str, message: dict[str, Any]) -> None:
        kind = message["header"].get("msg_type")
        parent = message["parent_header"].get("msg_id", "")
        if channel == "iopub":
            if not self._published.done():
                self._published.set_result(None)
            cell = self._cells.get(parent)
            if cell is not None:
                self._take_published(cell, kind, message["content"])
            elif kind == "execute_input":
                self._take_typed(message)
        elif channel == "control" and kind in FROM_KERNEL:
            if self._channels is not None:  # a kernel that we are ending gets no answers
                self._dispatcher.receive(kind, message["content"], message["buffers"])
        elif kind == "rlm_output_limit":
            self._take_flood(message["content"])
        elif kind == "execute_reply":
            cell = self._cells.get(parent)
            if cell is not None and not cell.reply.done() and isinstance(message["content"], dict):
                cell.reply.set_result(message)
        else:
            self._requests.take(parent, message)

    def _take_published(self, cell: RunningCell, kind: str, content: Any) -> None:
        if kind == "status":
            if isinstance(content, dict) and content.get("execution_state") == "idle":
                cell.published_idle()
            return
        cell.outputs.take(kind, content)
        if cell.outputs.overflowed:
            self._settle_soon(cell)

    def _take_typed(self, message: dict[str, Any]) -> None:
        code = message["content"].get("code")
        foreign = message["parent_header"].get("session")
        ours = self._channels is not None and foreign == self._channels.session_id
        if self.on_typed is not None and isinstance(code, str) and not ours:
            self.on_typed(code[:MAX_TYPED])

    def _take_flood(self, content: Any) -> None:
        dropped = content.get("dropped") if isinstance(content, dict) else None
        if isinstance(dropped, int) and dropped >= self._options.output_limit * FLOOD_FACTOR:
            for cell in self._cells.values():
                self._settle_soon(cell)

    def _settle_soon(self, cell: RunningCell) -> None:
        """Start to stop a cell; the next cell waits for that."""
        if self._settling is None:
            self._settling = asyncio.create_task(self._stop(cell, "interrupted"))

    def _answer(self, channels: MessageChannels, content: Any, buffers: list[bytes]) -> None:
        if self._channels is channels:
            channels.send("control", REPLY, content, buffers)
