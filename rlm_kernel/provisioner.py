"""Lets any Jupyter server start our kernels: the provisioners `rlm-local`, `-docker`, `-modal`.

JupyterLab finds them by the entry point `jupyter_client.kernel_provisioners` and the kernelspecs
`rlm`, `rlm-docker` and `rlm-modal`. They start a notebook kernel (see `rlm_kernel.guest.app.main`)
in a sandbox like a model's, with a scrubbed environment. At its end they end all its descendants.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Dict

from rlm_kernel.env_names import ENVIRONMENT, SUBCALL_SERVER
from rlm_kernel.errors import SandboxError
from rlm_kernel.host.connection import PORTS
from rlm_kernel.host.fork_server import KernelProcess
from rlm_kernel.host.scrubbed_env import scrubbed_environment, without_secrets
from rlm_kernel.local.sandbox import LocalSandbox, local_sandbox
from rlm_kernel.subcall_server.process import SubCallServerProcess

if TYPE_CHECKING:
    from rlm_kernel.relay.sandbox import RelayedSandbox
    from rlm_kernel.relay.socket_proxy import SocketProxy

__all__ = [
    "DockerProvisioner",
    "LocalProvisioner",
    "ModalProvisioner",
    "RelayedProvisioner",
    "SandboxProvisioner",
]

_MODEL = "RLM_MODEL"
"""The environment variable that names the model of a notebook kernel's sub-calls."""

_BACKEND = "RLM_BACKEND"
"""The environment variable that names that model's provider."""

_TERMINATE_SECONDS = 2.0


class SandboxProvisioner(KernelProvisionerBase):
    """Starts a notebook kernel in a sandbox; subclasses say in which.

    Traits:
        rlm: Arguments of `RLM` (JSON) for answering the kernel's sub-calls, from the kernelspec's
            `metadata.kernel_provisioner.config`. RLM_BACKEND, RLM_MODEL and RLM_BASE_URL fill in
            what it leaves out about the model. Without a model there is no sub-call server.

    Attributes:
        environment: The name of the environment.
    """

    rlm = Dict().tag(config=True)
    environment = ""
    _sandbox: LocalSandbox | RelayedSandbox | None = None
    _process: KernelProcess | None = None
    _subcall_server: SubCallServerProcess | None = None
    _model = ""

    def new_sandbox(self) -> LocalSandbox | RelayedSandbox:
        """Return the sandbox for this kernel."""
        raise NotImplementedError

    async def start_process(self, cmd: list[str], **kwargs: Any) -> KernelProcess:
        """Start the kernel in the sandbox, which has been started.

        Args:
            cmd: The kernelspec's command, filled in.
            kwargs: `env` and `cwd` as the Jupyter server wants them.
        """
        raise NotImplementedError

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started whose end nobody has waited for yet."""
        return self._process is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose the kernel's sockets (in the sandbox's directory) and its command.

        Args:
            kwargs: As `KernelProvisionerBase.pre_launch` takes them; `restart` says whether the
                kernel comes back.
        """
        self._sandbox = self._sandbox or self.new_sandbox()
        await self._sandbox.start()
        manager: Any = self.parent
        if not kwargs.pop("restart", False) and manager.transport != "ipc":
            # Unix sockets: plain TCP would be readable by every user of this machine
            manager.transport = "ipc"
            manager.ip = str(self._sandbox.directory / "s")
            for name, number in PORTS.items():
                setattr(manager, name, number)
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()
        extra_arguments = kwargs.pop("extra_arguments", [])
        command = manager.format_kernel_cmd(extra_arguments=extra_arguments)
        return await super().pre_launch(cmd=command, **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel's process and its sub-call server.

        Args:
            cmd: The command that `pre_launch` chose.
            kwargs: As `pre_launch` returned them, `env` and `cwd` among them.
        """
        env = kwargs.get("env") or {}
        if self._subcall_server is None and (self.rlm or env.get(_MODEL)):
            backend_kwargs = self.rlm.get("backend_kwargs") or {}
            self._model = str(backend_kwargs.get("model_name") or env.get(_MODEL, ""))
            self._subcall_server = SubCallServerProcess(self._subcall_server_settings(), env)
        self._process = await self.start_process(cmd, **kwargs)
        if self._subcall_server is not None:
            self._subcall_server.kernel_started()
            self._process.died.add_done_callback(self._kernel_died)
        return self.connection_info

    def _kernel_died(self, _: object) -> None:
        if self._subcall_server is not None:
            self._subcall_server.kernel_died()

    def _subcall_server_settings(self) -> dict[str, Any]:
        return {
            "connection": _plain_connection(self.connection_info),
            "environment": self.environment,
            "environment_kwargs": {},
            "rlm": dict(self.rlm),
        }

    def _kernel_env(self) -> dict[str, str]:
        """Return the variables that the kernelspec and we add for the kernel: no keys."""
        given = self.kernel_spec.env if self.kernel_spec is not None else {}
        env = {**without_secrets(given), ENVIRONMENT: self.environment}
        if self._subcall_server is not None:
            # Runs started in the kernel itself (`%%rlm`) ask the sub-call server's model too
            env.update({SUBCALL_SERVER: "1", _BACKEND: "notebook", _MODEL: self._model})
        return env

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
        """Send the kernel a signal; an interrupt comes as a message (`interrupt_mode`).

        Args:
            signum: The signal's number.
        """
        if self._process is not None and not self._process.died.done():
            self._process.send_signal(signum)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel and everything below it.

        Args:
            restart: Whether the kernel comes back; makes no difference here.
        """
        del restart
        if self._process is not None:
            self._process.kill()

    async def terminate(self, restart: bool = False) -> None:
        """Ask the kernel to end, and end it when it does not.

        Args:
            restart: Whether the kernel comes back; makes no difference here.
        """
        del restart
        if self._process is not None and not self._process.died.done():
            self._process.send_signal(signal.SIGTERM)
            await asyncio.wait([self._process.died], timeout=_TERMINATE_SECONDS)
            self._process.kill()

    async def cleanup(self, restart: bool = False) -> None:
        """End the sub-call server and close the sandbox, unless the kernel comes back.

        Args:
            restart: Whether the kernel comes back.
        """
        if restart:
            return
        subcall_server, self._subcall_server = self._subcall_server, None
        if subcall_server is not None:
            await subcall_server.close()
        if self._sandbox is not None:
            sandbox, self._sandbox = self._sandbox, None
            await sandbox.close()


class LocalProvisioner(SandboxProvisioner):
    """Starts a notebook kernel through this machine's fork server."""

    environment = "local"

    def new_sandbox(self) -> LocalSandbox:
        """Return a new tree's share of this machine."""
        return local_sandbox()

    async def start_process(self, cmd: list[str], **kwargs: Any) -> KernelProcess:
        """Start the kernelspec's command where the server wants it.

        Args:
            cmd: The kernelspec's command, filled in.
            kwargs: `env` and `cwd` as the Jupyter server wants them.
        """
        assert isinstance(self._sandbox, LocalSandbox)
        cwd = kwargs.get("cwd") or str(self._sandbox.directory)
        env = scrubbed_environment(kwargs.get("env") or {})
        return await self._sandbox.start_command(cmd, cwd=cwd, env={**env, **self._kernel_env()})


class RelayedProvisioner(SandboxProvisioner):
    """Starts a notebook kernel at the other end of a byte stream; subclasses say where.

    Traits:
        environment_kwargs: As `RLM(environment_kwargs=...)` takes them, from the kernelspec's
            `metadata.kernel_provisioner.config`.
    """

    environment_kwargs = Dict().tag(config=True)
    _sockets: SocketProxy | None = None

    def new_sandbox(self) -> RelayedSandbox:
        """Return a sandbox for this kernel."""
        try:
            return self.sandbox_with(dict(self.environment_kwargs))
        except (TypeError, ValueError) as error:
            raise SandboxError(f"The kernelspec's environment_kwargs are wrong: {error}") from error

    def sandbox_with(self, kwargs: dict[str, Any]) -> RelayedSandbox:
        """Return a sandbox with these options.

        Args:
            kwargs: What `RLM(environment_kwargs=...)` takes.

        Raises:
            TypeError: A value is of the wrong type.
            ValueError: A value is not allowed.
        """
        raise NotImplementedError

    async def start_process(self, cmd: list[str], **kwargs: Any) -> KernelProcess:
        """Start a kernel behind the same sockets as the last one.

        Args:
            cmd: Not used: the sandbox has a command for itself.
            kwargs: Not used: they are about this machine.
        """
        del cmd, kwargs  # both are about this machine
        sandbox: Any = self._sandbox
        connection = _plain_connection(self.connection_info)
        command = ["python", "-m", "rlm_kernel", "-f", "{connection_file}"]
        process: KernelProcess = await sandbox.start_process(
            connection, self._sockets, exec=command, env=self._kernel_env()
        )
        self._sockets = sandbox.sockets_of(process)
        return process

    def _subcall_server_settings(self) -> dict[str, Any]:
        return {
            **super()._subcall_server_settings(),
            "environment_kwargs": dict(self.environment_kwargs),
        }

    async def cleanup(self, restart: bool = False) -> None:
        """Close the sandbox, unless the kernel comes back.

        Args:
            restart: Whether the kernel comes back.
        """
        await super().cleanup(restart=restart)
        if not restart:
            self._sockets = None


class DockerProvisioner(RelayedProvisioner):
    """Starts a notebook kernel in a container."""

    environment = "docker"

    def sandbox_with(self, kwargs: dict[str, Any]) -> RelayedSandbox:
        """Return a sandbox in a new container.

        Args:
            kwargs: What `RLM(environment="docker", environment_kwargs=...)` takes.
        """
        from rlm_kernel.docker.options import docker_options
        from rlm_kernel.docker.sandbox import docker_sandbox

        return docker_sandbox(docker_options(kwargs))


class ModalProvisioner(RelayedProvisioner):
    """Starts a notebook kernel in a Modal sandbox."""

    environment = "modal"

    def sandbox_with(self, kwargs: dict[str, Any]) -> RelayedSandbox:
        """Return a new Modal sandbox.

        Args:
            kwargs: What `RLM(environment="modal", environment_kwargs=...)` takes.
        """
        from rlm_kernel.modal.options import modal_options
        from rlm_kernel.modal.sandbox import modal_sandbox

        return modal_sandbox(modal_options(kwargs))


def _plain_connection(info: KernelConnectionInfo) -> dict[str, Any]:
    """Return connection info as a connection file has it: JSON."""
    key: Any = info["key"]
    return {**info, "key": key.decode()}
