"""Lets any Jupyter server start our kernels: the provisioner `rlm-local`.

JupyterLab finds it by the entry point `jupyter_client.kernel_provisioners` and the kernelspec
`rlm`. The kernel is a person's (see `rlm_kernel.app.main`): it runs in a sandbox like a model's,
with a scrubbed environment, and is ended with all its descendants.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from rlm_kernel.environment import scrubbed_environment
from rlm_kernel.local import LocalSandbox, local_sandbox
from rlm_kernel.server import KernelProcess

_TERMINATE_SECONDS = 2.0


class LocalProvisioner(KernelProvisionerBase):
    """Starts a person's kernel through this machine's fork server."""

    _sandbox: LocalSandbox | None = None
    _process: KernelProcess | None = None

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started and has not been waited for."""
        return self._process is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose the kernel's sockets (in the sandbox's own directory) and its command."""
        self._sandbox = self._sandbox or local_sandbox()
        await self._sandbox.start()
        manager: Any = self.parent
        if not kwargs.pop("restart", False) and manager.transport != "ipc":
            # Unix sockets: plain TCP would be readable by every user of this machine
            manager.transport = "ipc"
            manager.ip = str(self._sandbox.directory / "s")
            for number, channel in enumerate(("shell", "iopub", "stdin", "control", "hb"), start=1):
                setattr(manager, f"{channel}_port", number)
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()
        extra_arguments = kwargs.pop("extra_arguments", [])
        command = manager.format_kernel_cmd(extra_arguments=extra_arguments)
        return await super().pre_launch(cmd=command, **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel's process."""
        assert self._sandbox is not None
        cwd = kwargs.get("cwd") or str(self._sandbox.directory)
        env = scrubbed_environment(kwargs.get("env") or {})
        spec_env = self.kernel_spec.env if self.kernel_spec is not None else {}
        self._process = await self._sandbox.start_command(cmd, cwd=cwd, env={**env, **spec_env})
        return self.connection_info

    async def poll(self) -> int | None:
        """Return None while the kernel runs, else its exit code."""
        if self._process is None:
            return 0
        return (self._process.died.result() or 0) if self._process.died.done() else None

    async def wait(self) -> int | None:
        """Wait until the kernel has ended."""
        if self._process is None:
            return 0
        code = await asyncio.shield(self._process.died)
        self._process = None
        return code

    async def send_signal(self, signum: int) -> None:
        """Send the kernel a signal; an interrupt comes as a message (`interrupt_mode`)."""
        if self._process is not None and not self._process.died.done():
            self._process.send_signal(signum)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel and everything below it."""
        del restart
        if self._process is not None:
            self._process.kill()

    async def terminate(self, restart: bool = False) -> None:
        """Ask the kernel to end, and end it when it does not."""
        del restart
        if self._process is not None and not self._process.died.done():
            self._process.send_signal(signal.SIGTERM)
            await asyncio.wait([self._process.died], timeout=_TERMINATE_SECONDS)
            self._process.kill()

    async def cleanup(self, restart: bool = False) -> None:
        """Close the sandbox, unless the kernel is to come back."""
        if not restart and self._sandbox is not None:
            sandbox, self._sandbox = self._sandbox, None
            await sandbox.close()
