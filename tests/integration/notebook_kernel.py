"""A person's kernel as a Jupyter server starts it, with shorthands for what tests ask of it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from rlm_kernel.install import install

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

NAMES = {"local": "rlm", "docker": "rlm-docker", "modal": "rlm-modal"}


class Notebook:
    """A kernel, its manager and one client, as a front end has them."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager = manager
        self.client = client

    async def run(self, code: str) -> str:
        """Run a cell that must succeed; return what it wrote to stdout."""
        status, text = await self.outcome(code)
        assert status == "ok", text
        return text

    async def outcome(self, code: str) -> tuple[str, str]:
        """Run a cell; return its status, and what it wrote or its error."""
        return await self.finish(self.client.execute(code))

    async def finish(self, msg_id: str) -> tuple[str, str]:
        """Wait for a cell that was sent."""
        text = ""
        while True:
            message = await self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                text += content["text"]
            elif message["msg_type"] == "error":
                text += f"{content['ename']}: {content['evalue']}"
            elif content.get("execution_state") == "idle":
                break
        while True:
            reply = await self.client.get_shell_msg(timeout=60)
            if reply["parent_header"]["msg_id"] == msg_id:
                return reply["content"]["status"], text

    async def started(self, code: str) -> str:
        """Send a cell and wait until it has printed something; return its id."""
        msg_id: str = self.client.execute(code)
        while (await self.client.get_iopub_msg(timeout=60))["msg_type"] != "stream":
            pass
        return msg_id


async def until(holds: Callable[[], object]) -> None:
    """Wait for what another process does; the test's own timeout bounds it."""
    while not holds():  # noqa: ASYNC110 - nothing here is told of it
        await asyncio.sleep(0.01)


@asynccontextmanager
async def notebook(
    folder: Path, environment: str = "local", *, config: dict[str, Any] | None = None
) -> AsyncIterator[Notebook]:
    """Start a person's kernel by its kernelspec.

    Args:
        folder: Where the kernelspecs are installed and the kernel runs.
        environment: Which of them.
        config: The kernelspec's provisioner config.
    """
    install(prefix=str(folder))
    specs = folder / "share/jupyter/kernels"
    file = specs / NAMES[environment] / "kernel.json"
    spec = json.loads(file.read_text())
    spec["metadata"]["kernel_provisioner"].setdefault("config", {}).update(config or {})
    file.write_text(json.dumps(spec))
    manager: Any = AsyncKernelManager(
        kernel_name=NAMES[environment],
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(specs)]),
    )
    try:
        await manager.start_kernel(cwd=str(folder))
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=120)
            yield Notebook(manager, client)
        finally:
            client.stop_channels()
    finally:
        await manager.shutdown_kernel(now=True)
