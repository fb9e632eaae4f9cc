"""A real Jupyter kernel with the magics loaded, driven as a front end drives it."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jupyter_client.manager import KernelManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class LiveKernel:
    """A kernel with shorthands for what tests ask of it.

    Attributes:
        manager: What started it.
        typed: What the user answers when a cell asks through `input()`, in order.
        asked: The prompts of those questions.
    """

    def __init__(self, manager: KernelManager, client: Any) -> None:
        self.manager = manager
        self.client = client
        self.typed: list[str] = []
        self.asked: list[str] = []

    def run(
        self, code: str, *, during: Callable[[dict[str, Any]], object] = lambda _: None
    ) -> list[dict[str, Any]]:
        """Run a cell and return the messages of its outputs.

        Args:
            code: The cell.
            during: Called with each message as it comes.
        """
        messages: list[dict[str, Any]] = []

        def heard(message: dict[str, Any]) -> None:
            messages.append({"type": message["msg_type"], **message["content"]})
            during(messages[-1])

        def asked(message: dict[str, Any]) -> None:
            self.asked.append(message["content"]["prompt"])
            self.client.input(self.typed.pop(0))

        self.client.execute_interactive(
            code, timeout=60, allow_stdin=True, output_hook=heard, stdin_hook=asked
        )
        return messages

    def interrupted(self, code: str, *, when: threading.Event) -> list[dict[str, Any]]:
        """Run a cell, press the interrupt button, and return the messages of its outputs.

        Args:
            code: The cell.
            when: Set when it is time to press.
        """
        sent = self.client.execute(code)
        assert when.wait(60)
        self.manager.interrupt_kernel()
        messages: list[dict[str, Any]] = []
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != sent:
                continue
            messages.append({"type": message["msg_type"], **message["content"]})
            if messages[-1].get("execution_state") == "idle":
                self.client.get_shell_msg(timeout=60)
                return messages

    def value(self, expression: str) -> Any:
        """Return what an expression is in the kernel, as its `repr`."""
        found = [m for m in self.run(expression) if m["type"] == "execute_result"]
        return found[0]["data"]["text/plain"]

    def until(self, expression: str) -> None:
        """Wait until an expression is true in the kernel."""
        deadline = time.monotonic() + 30
        while self.value(f"bool({expression})") != "True":
            assert time.monotonic() < deadline, expression


def shown(messages: list[dict[str, Any]], kind: str = "text/plain") -> list[str]:
    """Return what the outputs show, in order, in one mime type; streams are text."""
    texts = []
    for message in messages:
        if message["type"] == "stream" and kind == "text/plain":
            texts.append(message["text"])
        elif message["type"] == "error" and kind == "text/plain":
            texts.append("\n".join(message["traceback"]))
        elif kind in message.get("data", {}):
            texts.append(message["data"][kind])
    return texts


@contextmanager
def opened(folder: Path) -> Iterator[LiveKernel]:
    """Start a kernel with nothing of this machine's configuration."""
    places = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
    env = {**os.environ, **{name: str(folder / name.lower()) for name in places}}
    manager = KernelManager(kernel_name="python3", transport="ipc", ip=str(folder / "k"))
    manager.start_kernel(env=env, cwd=str(folder))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        kernel = LiveKernel(manager, client)
        kernel.run("%load_ext rlm_ipython")
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
