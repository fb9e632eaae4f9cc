"""Starts a kernel in a process that the fork server has just forked.

A model's kernel skips what it does not need (profile, configuration files, history, debugger,
connection file), because every recursive call pays for its start-up. A notebook kernel starts as
`IPKernelApp` does.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

import zmq
from ipykernel.kernelapp import IPKernelApp
from IPython.core.profiledir import ProfileDir
from traitlets.config import Config

from rlm_kernel.guest.kernel import RLMKernel
from rlm_kernel.guest.output_limit import BoundedSession


class RLMKernelApp(IPKernelApp):
    """`ipykernel`'s application with our kernel class and unbounded send queues.

    A ROUTER or PUB socket silently drops messages over its high-water mark: with the default mark
    and a host that stalled for two seconds, 10,001 of 12,000 sub-calls were lost.
    """

    name = "rlm-kernel"

    def init_control(self, context: zmq.Context[Any]) -> None:
        """Bind the control channel without a high-water mark."""
        context.sndhwm = 0
        try:
            super().init_control(context)
        finally:
            del context.sndhwm


class ModelKernelApp(RLMKernelApp):
    """Starts only what a model's kernel needs."""

    def init_iopub(self, context: zmq.Context[Any]) -> None:
        """Bind the iopub channel without a high-water mark: the output meter bounds its queue."""
        context.sndhwm = 0
        try:
            super().init_iopub(context)
        finally:
            del context.sndhwm

    def initialize_model(self, spec: dict[str, Any]) -> None:
        """Set the kernel up from a spawn request."""
        connection = spec["connection"]
        self.transport, self.ip = connection["transport"], connection["ip"]
        for channel in ("shell", "iopub", "stdin", "control", "hb"):
            setattr(self, f"{channel}_port", connection[f"{channel}_port"])
        self.session = BoundedSession(
            parent=self,
            username="kernel",
            key=connection["key"].encode(),
            signature_scheme="hmac-sha256",
        )
        self.profile_dir = ProfileDir.create_profile_dir(f"{spec['dir']}/profile")
        self.init_sockets()
        self.init_heartbeat()
        self.init_io()
        self.init_signal()
        self.init_kernel()
        self.init_path()
        self.init_shell()
        if sys.platform != "linux":  # Linux itself ends this process with the fork server
            self.parent_handle = os.getppid()
            self.init_poller()


def _configuration(spec: dict[str, Any]) -> Config:
    config = Config()
    config.RLMKernel.repl_options = spec["repl"]
    config.RLMKernel._execute_sleep = 0  # noqa: SLF001 - a configurable trait of that name
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.xmode = "Plain"
    config.InteractiveShell.enable_tip = False
    config.IPKernelApp.outstream_class = "rlm_kernel.guest.output_limit.BoundedOutStream"
    config.Completer.use_jedi = False
    return config


def start_kernel(spec: dict[str, Any]) -> None:
    """Run a model's kernel until it is told to end; called in a fresh process.

    Args:
        spec: The spawn request: `dir` (the kernel's directory), `connection` (as in a Jupyter
            connection file), `repl` (`RLMKernel.repl_options`).
    """
    app = ModelKernelApp(kernel_class=RLMKernel, config=_configuration(spec))
    app.initialize_model(spec)
    gc.enable()  # it is off in the fork server
    app.start()


def main() -> None:
    """Run a notebook kernel: the kernelspec `rlm` names this command."""
    from rlm_kernel.guest.notebook_kernel import NotebookKernel

    app = RLMKernelApp(kernel_class=NotebookKernel)
    app.initialize(sys.argv[1:])
    app.start()
