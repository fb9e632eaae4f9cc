"""The sandbox in a container: one for each tree, without network, mounts or ports."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from typing import TYPE_CHECKING, Any

from rlm_kernel.docker_engine import engine, engine_address, explained, is_missing
from rlm_kernel.docker_images import LABEL, Images
from rlm_kernel.docker_stream import DockerStream, attach
from rlm_kernel.errors import SandboxError
from rlm_kernel.relayed_sandbox import ROOT, RelayedSandbox
from rlm_kernel.shipment import BOOTSTRAP

if TYPE_CHECKING:
    from rlm_kernel.docker_images import KernelImage
    from rlm_kernel.docker_options import DockerOptions
    from rlm_kernel.docker_stream import EngineAddress

_STOPPED_SECONDS = 10.0


def docker_sandbox(options: DockerOptions) -> RelayedSandbox:
    """Return a new tree's sandbox in a container; call it on the event loop that will use it."""
    return RelayedSandbox(lambda: _start(options))


class Container:
    """A container with a fork server in it (see `rlm_kernel.relayed_sandbox.Box`)."""

    def __init__(
        self, client: Any, address: EngineAddress, container: str, stream: DockerStream
    ) -> None:
        self._client = client
        self._address = address
        self._id = container
        self.stream = stream
        self.workdir: str | None = None

    async def end(self, *, ended: bool) -> None:
        """Kill the container unless it has ended; the engine removes it (`auto_remove`)."""
        if not ended:
            await asyncio.to_thread(_remove, self._client, self._id)

    async def epitaph(self) -> str:
        """Return what the container wrote to stderr."""
        await asyncio.sleep(0.05)  # what is on its way
        said = self.stream.stderr
        return f"The container said: {said[-1000:]}" if said else ""


async def _start(options: DockerOptions) -> Container:
    address = engine_address()
    try:
        client, container = await asyncio.to_thread(_create, address, options)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        raise explained(error, address) from error
    try:
        # Before it starts: what it says first would be lost
        stream = await attach(address, container)
        box = Container(client, address, container, stream)
        box.workdir = options.workdir
        try:
            await asyncio.to_thread(client.start, container)
        except BaseException:
            await stream.close()
            raise
    except BaseException as error:
        await asyncio.to_thread(_remove, client, container)
        if isinstance(error, Exception):
            raise explained(error, address) from error
        raise
    return box


def _create(address: EngineAddress, options: DockerOptions) -> tuple[Any, str]:
    client = engine(address)
    image = Images(client, address).resolve(options)
    created = client.create_container_from_config(_config(client, image, options))
    return client, created["Id"]


def _config(client: Any, image: KernelImage, options: DockerOptions) -> dict[str, Any]:
    config: dict[str, Any] = client.create_container_config(
        image.name,
        [image.python, "-c", BOOTSTRAP, ROOT, "--relay"],
        entrypoint=[],
        user=options.user,
        stdin_open=True,
        tty=False,
        working_dir="/tmp",  # noqa: S108 - the container's own
        environment={"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"},  # noqa: S108 - same
        labels={
            LABEL: "sandbox",
            f"{LABEL}.run": secrets.token_hex(8),
            f"{LABEL}.created": str(int(time.time())),
            f"{LABEL}.pid": str(os.getpid()),
        },
        host_config=_host_config(client, options),
    )
    config["StdinOnce"] = True  # our death closes its stdin
    config["AttachStdin"] = config["AttachStdout"] = config["AttachStderr"] = True
    config["Healthcheck"] = {"Test": ["NONE"]}
    config.pop("NetworkDisabled", None)
    return config


def _host_config(client: Any, options: DockerOptions) -> Any:
    limits: dict[str, Any] = {}
    if options.cpus is not None:
        limits["nano_cpus"] = int(options.cpus * 1e9)
    if options.gpus is not None:
        from docker.types import DeviceRequest  # noqa: PLC0415 - an optional package

        about: dict[str, Any] = {"capabilities": [["gpu"]]}
        if isinstance(options.gpus, list):
            about["device_ids"] = options.gpus
        else:
            about["count"] = -1 if options.gpus == "all" else options.gpus
        limits["device_requests"] = [DeviceRequest(**about)]
    return client.create_host_config(
        network_mode=options.network,
        read_only=True,
        # Programs that a cell writes there may run: it can run anything anyhow
        tmpfs={"/tmp": "rw,exec,nosuid,nodev,mode=1777"},  # noqa: S108 - the container's own
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        mem_limit=options.mem_limit,
        memswap_limit=options.mem_limit,
        pids_limit=options.pids_limit,
        shm_size=options.shm_size,
        binds=options.volumes or None,
        auto_remove=True,
        # The engine would write every frame to its disk
        log_config={"Type": "none", "Config": {}},
        **limits,
    )


def _remove(client: Any, container: str) -> None:
    """Kill and remove a container; one that is gone already is no error."""
    deadline = time.monotonic() + _STOPPED_SECONDS
    while time.monotonic() < deadline:
        try:
            client.remove_container(container, force=True, v=True)
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises
            if is_missing(error):
                return
            if "already in progress" in str(error):
                return
        else:
            return
        time.sleep(0.1)


__all__ = ["Container", "SandboxError", "docker_sandbox"]
