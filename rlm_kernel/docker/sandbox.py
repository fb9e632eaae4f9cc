"""The sandbox in a container: one for each tree, without network, mounts or ports."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from rlm_kernel.docker.container_config import container_config
from rlm_kernel.docker.engine import engine, engine_address, explained, is_removed
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

_STOPPED_SECONDS = 10.0


def warm_containers(options: DockerOptions) -> MachinePool:
    """Return where containers that are started with these options are kept; close it after use."""
    return shared_pool(f"docker {engine_address()} {options}")


def docker_sandbox(options: DockerOptions, warm: MachinePool | None = None) -> RelayedSandbox:
    """Return a new tree's sandbox in a container; call it on the event loop that will use it.

    Args:
        options: How containers are started.
        warm: Where they are kept between trees; None to end each with its tree.
    """
    return RelayedSandbox(lambda: _start(options), warm)


class Container:
    """A container with a fork server in it (see `rlm_kernel.relay.sandbox.Machine`)."""

    def __init__(
        self, client: Any, address: EngineAddress, container: str, stream: DockerStream
    ) -> None:
        self._client = client
        self._address = address
        self._id = container
        self.stream = stream
        self.workdir: str | None = None

    async def place(self, value: ContextValue, path: str) -> int | None:
        """Return None: the stream is the fastest way."""
        del value, path
        return None

    async def end(self, *, ended: bool) -> None:
        """Kill the container unless it has ended; the engine removes it (`auto_remove`)."""
        if not ended:
            await in_thread(_remove, self._client, self._id)

    async def exit_reason(self) -> str:
        """Return what the container wrote to stderr."""
        await asyncio.sleep(0.05)  # what is on its way
        said = self.stream.stderr
        return f"The container said: {said[-1000:]}" if said else ""


async def _start(options: DockerOptions) -> Machine:
    """Start a container; when that is cancelled, what comes of it is removed."""
    address = engine_address()
    machine = await _kept(_started(address, options))
    if machine is None:
        image = await _made(address, options)
        machine = await _kept(_started(address, options, image))
        assert machine is not None
    return machine


async def _made(address: EngineAddress, options: DockerOptions) -> KernelImage:
    """Return the image to use, pulled and made where that is needed; a cancel ends this at once."""
    images = Images(await asyncio.to_thread(engine, address), address)
    try:
        return await asyncio.to_thread(images.resolve, options)
    except asyncio.CancelledError:
        begin_thread(images.stop)
        raise


async def _kept(start: Coroutine[Any, Any, Container | None]) -> Container | None:
    """Await a start; when that is cancelled, what comes of it is removed."""
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # The threads that ask the engine go on: what they make is nobody's but ours
        removing = asyncio.ensure_future(_removed(starting))
        await asyncio.wait([removing], timeout=_STOPPED_SECONDS)
        raise


async def _removed(starting: asyncio.Future[Container | None]) -> None:
    with contextlib.suppress(Exception):
        machine = await starting
        if machine is not None:
            await machine.stream.close()
            await machine.end(ended=False)


async def _started(
    address: EngineAddress, options: DockerOptions, image: KernelImage | None = None
) -> Container | None:
    """Start a container of an image; None when that has yet to be pulled, probed or made."""
    try:
        created = await asyncio.to_thread(_create, address, options, image)
        if created is None:
            return None
        client, container = created
        try:
            # Before it starts: what it says first would be lost
            stream = await attach(address, container)
            try:
                await asyncio.to_thread(client.start, container)
            except BaseException:
                await stream.close()
                raise
        except BaseException:
            await in_thread(_remove, client, container)
            raise
    except Exception as error:
        raise explained(error, address) from error
    _disconnect(client)  # it is rarely needed again, and opens what it needs then
    machine = Container(client, address, container, stream)
    machine.workdir = options.workdir
    return machine


def _create(
    address: EngineAddress, options: DockerOptions, image: KernelImage | None
) -> tuple[Any, str] | None:
    """Create a container, unless its image is not known yet; the SDK is loaded only for ssh.

    The SDK keeps what it has dialled, and a login takes longer than its import.
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
    """Kill and remove a container; one that is gone already is no error."""
    deadline = time.monotonic() + _STOPPED_SECONDS
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
    """Close the connection of our own client; the SDK's is shared, and keeps its own."""
    if isinstance(client, EngineRequests):
        client.close()
