"""The kernel: an `IPythonKernel` whose cells can call the host.

It adds to the stock kernel: `rlm_*` messages on the control channel (sub-calls) and the shell
channel (contexts, variables), bounded output, reserved names that are put back around every cell,
and metadata in the `execute_reply` about the REPL's state after the cell.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.zmqshell import ZMQInteractiveShell
from tornado.ioloop import PeriodicCallback
from traitlets import Dict, Type

from rlm_kernel.context.load import load
from rlm_kernel.guest import cell_asyncio
from rlm_kernel.guest.output_limit import BoundedOutStream, OutputMeter, cut_mark
from rlm_kernel.guest.query_functions import QueryFunctions, ToolError
from rlm_kernel.guest.reserved_names import ReservedNames
from rlm_kernel.guest.subcalls import POLL_SECONDS, SubCallClient
from rlm_kernel.protocol import subcalls as messages

if TYPE_CHECKING:
    from collections.abc import Callable

_REPLY = json.dumps(messages.REPLY).encode()
"""The type of an answer's message as its header spells it."""

LONG_VALUE = 40_000
"""Characters that the repr of a text or bytes value shows at most."""


class RLMShell(ZMQInteractiveShell):
    """The shell of a model's kernel: `exit()` does not end it, and its output is plain text."""

    def init_environment(self) -> None:
        """Set what subprocesses see: no pager and, unlike in a notebook, no colours.

        Plots become outputs, as in a notebook: `plt.show()` and `display(figure)` publish a PNG.
        """
        os.environ.update(PAGER="cat", GIT_PAGER="cat", TERM="dumb")
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")

    def init_display_formatter(self) -> None:
        """Show long texts by their head and tail: a 1 GB `context` has no useful repr."""
        super().init_display_formatter()
        formatter: Any = self.display_formatter
        plain = formatter.formatters["text/plain"]
        for kind in (str, bytes):
            plain.for_type(kind, print_long)

    def ask_exit(self) -> None:
        """Refuse: `exit()` in a cell must not lose the model's variables."""
        print("This REPL is ended by its host; set `answer` to finish.", file=sys.stderr)  # noqa: T201


def _bounded(reply: dict[str, Any]) -> dict[str, Any]:
    """Cut an error's texts in an `execute_reply`; its published copy is bounded elsewhere."""
    if "evalue" in reply:
        reply["evalue"] = reply["evalue"][:LONG_VALUE]
        reply["traceback"] = [line[:LONG_VALUE] for line in reply["traceback"][:100]]
    return reply


def print_long(value: Any, printer: Any, cycle: bool) -> None:  # noqa: ARG001
    """Print a text or bytes value, a long one by its head and tail (an IPython printer)."""
    if len(value) <= LONG_VALUE:
        printer.text(repr(value))
    else:
        half = LONG_VALUE // 2
        mark = cut_mark(len(value), LONG_VALUE)
        printer.text(f"{value[:half]!r}{mark}{value[-half:]!r}")


class RLMKernel(IPythonKernel):
    """A Jupyter kernel with `context`, `answer`, `llm_query` and the others in its namespace.

    Attributes:
        model_mode: Whether the engine drives it; False for a `NotebookKernel`.

    Traits:
        repl_options: `tools` (names of host callables) and `output_limit` (characters a cell).
    """

    implementation = "rlm"
    shell_class: Any = Type(RLMShell)

    if TYPE_CHECKING:  # traits, which ipykernel declares as maybe None until start-up
        session: Any
        shell: Any
        io_loop: Any

    model_mode: bool = True
    repl_options = Dict().tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._host: list[bytes] | None = None
        self._subcalls = SubCallClient(
            self._send_to_host, self._on_control_thread, lambda: self._host is not None
        )
        functions = QueryFunctions(self._subcalls, self.has_host)
        self.names = ReservedNames(
            self.shell.user_ns, functions.by_name(), permanent=self.model_mode
        )
        self.names.keep("ToolError", ToolError)
        for name in self.repl_options.get("tools", ()):
            self.names.keep(name, functions.tool(name))
        self._meter = OutputMeter(self.repl_options.get("output_limit"), self._report_output)
        self.session.meter = self._meter
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, BoundedOutStream):
                stream.meter = self._meter
        for name, work in (
            ("attach", self._attach),
            ("assign", self._assign),
            ("variable", self._variable),
        ):
            self.shell_handlers[f"rlm_{name}_request"] = self._answering(work)
        self.control_handlers[messages.HELLO] = self._hello
        cell_asyncio.install()
        self._pid = os.getpid()
        # An interrupt goes to the whole process group. In a process that a cell forked, nothing
        # catches a KeyboardInterrupt: the process would go on as a second kernel.
        os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def start(self) -> None:
        """Serve; SIGINT also interrupts an idle `await`, and silent calls are polled."""
        super().start()
        loop = self.io_loop.asyncio_loop
        # SIGINT alone does not wake a loop that waits in `select`: have it write to the loop's
        # self-pipe as well.
        with contextlib.suppress(ValueError, AttributeError):
            signal.set_wakeup_fd(loop._csock.fileno(), warn_on_full_buffer=False)  # noqa: SLF001
        self._on_control_thread(self._start_polling)

    def _start_polling(self) -> None:
        self._poller = PeriodicCallback(self._subcalls.poll, POLL_SECONDS * 1000 / 2)
        self._poller.start()

    # The control channel

    def _on_control_thread(self, function: Callable[[], None]) -> None:
        self.control_thread.io_loop.add_callback(function)

    def _send_to_host(self, msg_type: str, content: dict[str, Any], buffers: list[bytes]) -> None:
        if self._host is not None:
            self.session.send(
                self.control_stream, msg_type, content, ident=self._host, buffers=buffers
            )

    def dispatch_control(self, msg: Any) -> Any:
        """Take a control message; answers to sub-calls skip the busy and idle messages.

        `process_control` publishes two status messages and flushes around each message, which
        would double a sub-call's latency. Both verify signatures.
        """
        if not any(_REPLY in frame.bytes for frame in msg[2:5]):
            return super().dispatch_control(msg)
        try:
            _, frames = self.session.feed_identities(msg, copy=False)
            message = self.session.deserialize(frames, content=True, copy=False)
            self._subcalls.receive(message["content"], message["buffers"])
        except Exception:
            self.log.exception("An invalid rlm_reply was dropped")
        return None

    def _hello(self, stream: Any, ident: list[bytes], parent: dict[str, Any]) -> None:
        """Remember the sender of this message: it answers sub-calls."""
        new_host = self._host is not None and self._host != ident
        self._host = ident
        self.session.send(stream, messages.HELLO_REPLY, {"status": "ok"}, parent, ident=ident)
        self._subcalls.reached(new_host=new_host)

    def has_host(self) -> bool:
        """Return whether something answers sub-calls, or soon will."""
        return self._host is not None

    async def interrupt_request(self, stream: Any, ident: Any, parent: Any) -> None:
        """Interrupt the cell, and the calls that its threads wait for, which SIGINT does not."""
        await super().interrupt_request(stream, ident, parent)
        self._subcalls.interrupt()

    def _report_output(self, dropped: int) -> None:
        self._on_control_thread(
            lambda: self._send_to_host("rlm_output_limit", {"dropped": dropped}, [])
        )

    # Cells

    async def do_execute(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run a cell with the reserved names put back before and after."""
        self._meter.start_cell()
        self.names.put_back()
        try:
            reply: dict[str, Any] = await super().do_execute(*args, **kwargs)
        except KeyboardInterrupt:
            # It came outside the cell's code: in IPython's preparations, say
            return self._interrupted_reply()
        else:
            return _bounded(reply)
        finally:
            if threading.current_thread() is threading.main_thread():
                # The cell's code is over: a late SIGINT has nothing to stop before the reply
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            if os.getpid() != self._pid:
                os._exit(0)  # a process that the cell forked has reached the cell's end
            self.names.put_back()

    def _interrupted_reply(self) -> dict[str, Any]:
        return {
            "status": "error",
            "ename": "KeyboardInterrupt",
            "evalue": "",
            "traceback": [],
            "execution_count": self.shell.execution_count - 1,
            "user_expressions": {},
            "payload": [],
        }

    def finish_metadata(
        self, parent: dict[str, Any], metadata: dict[str, Any], reply_content: dict[str, Any]
    ) -> dict[str, Any]:
        """Add the REPL's state to the reply's metadata."""
        super().finish_metadata(parent, metadata, reply_content)  # adds to `metadata`
        if self.model_mode:
            answer, draft = self.names.answer()
            metadata["rlm"] = {
                "answer": answer,
                "draft": draft if answer is None else "",
                "variables": self.names.variables(),
                "dropped": self._meter.dropped,
            }
        return metadata

    # Our requests on the shell channel

    def _attach(self, request: dict[str, Any]) -> dict[str, Any]:
        content = request["content"]
        self.names.keep(content["name"], load(content["path"], content["form"]))
        self.names.reset_answer()
        return {}

    def _assign(self, request: dict[str, Any]) -> dict[str, Any]:
        content = request["content"]
        value = json.loads(bytes(request["buffers"][0]))
        self.names.keep(content["name"], value, append=content["append"])
        return {}

    def _variable(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"text": self.names.text_of(request["content"]["name"])}

    def _answering(self, work: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[..., None]:
        """Return the handler that does what a request asks for, and always answers."""

        def handle(stream: Any, ident: Any, request: dict[str, Any]) -> None:
            try:
                content = {"status": "ok", **work(request)}
            except Exception as error:  # noqa: BLE001 - a user's __setstate__ may raise anything
                content = {
                    "status": "error",
                    "ename": type(error).__name__,
                    "evalue": str(error)[:2000],
                    "module": getattr(error, "name", None) or "",
                    "traceback": traceback.format_exc()[-4000:].splitlines(),
                }
            kind = request["header"]["msg_type"].replace("_request", "_reply")
            self.session.send(stream, kind, content, request, ident=ident)

        return handle
