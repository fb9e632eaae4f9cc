"""The sandbox in a container: one for each tree, by default without network, mounts or ports."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from rlm_kernel.docker.container_config import container_config
from rlm_kernel.docker.engine import engine, engine_address, explaining, is_removed
from rlm_kernel.docker.engine_api import EngineRequests
from rlm_kernel.docker.images import Images
from rlm_kernel.docker.stream import DockerStream, attach
from rlm_kernel.host.threads import begin_thread, in_thread
from rlm_kernel.relay.machine import Machine
from rlm_kernel.relay.pool import MachinePool, shared_pool
from rlm_kernel.relay.sandbox import RelayedSandbox

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from rlm_kernel.context.value import ContextValue
    from rlm_kernel.docker.images import KernelImage
    from rlm_kernel.docker.options import DockerOptions
    from rlm_kernel.docker.stream import EngineAddress

_REMOVE_SECONDS = 10.0


def warm_containers(options: DockerOptions) -> MachinePool:
    """Return the pool of containers with these options; the caller closes it."""
    return shared_pool(f"docker {engine_address()} {options}")


def docker_sandbox(options: DockerOptions, warm: MachinePool | None = None) -> RelayedSandbox:
    """Return a new tree's sandbox in a container; call it on the event loop that will use it."""
    return RelayedSandbox(lambda: _start(options), warm)


class Container:
    """A container with a fork server in it (see `rlm_kernel.relay.machine.Machine`)."""

    def __init__(
        self, client: Any, container: str, stream: DockerStream, workdir: str | None
    ) -> None:
        self._client = client
        self._id = container
        self.stream = stream
        self.workdir = workdir

    async def place(self, value: ContextValue, path: str) -> int | None:
        """Return None: no way is faster than the stream."""
        del value, path
        return None

    async def end(self, *, ended: bool) -> None:
        """Kill and remove the container; one that has ended the engine removes (`AutoRemove`)."""
        if not ended:
            await in_thread(_remove, self._client, self._id)

    async def exit_reason(self) -> str:
        """Return what the container wrote to stderr."""
        await asyncio.sleep(0.05)  # let what is under way arrive
        said = self.stream.stderr
        return f"The container said: {said[-1000:]}" if said else ""


async def _start(options: DockerOptions) -> Machine:
    """Start a container; a cancelled start leaves none."""
    address = engine_address()
    machine = await _or_removed(_start_container(address, options))
    if machine is None:
        image = await _image(address, options)
        machine = await _or_removed(_start_container(address, options, image))
        assert machine is not None
    return machine


async def _image(address: EngineAddress, options: DockerOptions) -> KernelImage:
    """Return the image to use, pulled and made when needed; a cancel ends this at once."""
    images = Images(await asyncio.to_thread(engine, address), address)
    try:
        return await asyncio.to_thread(images.resolve, options)
    except asyncio.CancelledError:
        begin_thread(images.stop)
        raise


async def _or_removed(start: Coroutine[Any, Any, Container | None]) -> Container | None:
    """Await a start; when the caller is cancelled, remove the container that it makes."""
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # The threads that send requests go on; we have to remove the container that they make
        removing = asyncio.ensure_future(_remove_when_started(starting))
        await asyncio.wait([removing], timeout=_REMOVE_SECONDS)
        raise


async def _remove_when_started(starting: asyncio.Future[Container | None]) -> None:
    with contextlib.suppress(Exception):
        machine = await starting
        if machine is not None:
            await machine.stream.close()
            await machine.end(ended=False)


async def _start_container(
    address: EngineAddress, options: DockerOptions, image: KernelImage | None = None
) -> Container | None:
    """Start a container; None when its image must be pulled, probed or made first."""
    with explaining(address):
        created = await asyncio.to_thread(_create, address, options, image)
        if created is None:
            return None
        client, container = created
        try:
            # Before it starts, or we would lose its first bytes
            stream = await attach(address, container)
            try:
                await asyncio.to_thread(client.start, container)
            except BaseException:
                await stream.close()
                raise
        except BaseException:
            await in_thread(_remove, client, container)
            raise
    _disconnect(client)  # it is rarely needed again, and then reconnects
    return Container(client, container, stream, options.workdir)


def _create(
    address: EngineAddress, options: DockerOptions, image: KernelImage | None
) -> tuple[Any, str] | None:
    """Create a container; None when its image is not known yet.

    Only for ssh does this load the SDK, which keeps its connection: an ssh login takes longer than
    the SDK's import.
    """
    client: Any = engine(address) if address.url.startswith("ssh:") else EngineRequests(address)
    try:
        image = image or Images(client, address).find(options)
        if image is None:
            _disconnect(client)
            return None
        config = container_config(image.name, image.python, options)
        created = client.create_container_from_config(config)
    except BaseException:
        _disconnect(client)
        raise
    return client, created["Id"]


def _remove(client: Any, container: str) -> None:
    """Kill and remove a container that is not gone already."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    try:
        while time.monotonic() < deadline:
            try:
                client.remove_container(container, force=True, v=True)
            except Exception as error:  # noqa: BLE001 - whatever the SDK raises
                if is_removed(error):
                    return
            else:
                return
            time.sleep(0.1)
    finally:
        _disconnect(client)


def _disconnect(client: Any) -> None:
    """Close the connection of our small client; the SDK's client is shared and stays connected."""
    if isinstance(client, EngineRequests):
        client.close()
