"""A notebook kernel, started as a Jupyter server does: by kernelspec and provisioner."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from rlm_kernel.install import install


@pytest.fixture
def spec_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelSpecManager:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    destination, *_ = install(prefix=str(tmp_path))
    return KernelSpecManager(kernel_dirs=[str(Path(destination).parent)])


def test_install_writes_a_kernelspec_for_this_interpreter(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rlm_kernel", "install", "--prefix", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    spec = json.loads((tmp_path / "share/jupyter/kernels/rlm/kernel.json").read_text())
    command = [sys.executable, "-m", "rlm_kernel", "-f", "{connection_file}", "--ext=rlm_ipython"]
    assert spec["argv"] == command
    assert spec["metadata"]["kernel_provisioner"]["provisioner_name"] == "rlm-local"
    assert str(tmp_path) in done.stdout


async def test_a_notebook_kernel_starts_runs_interrupts_restarts_and_ends(
    spec_manager: KernelSpecManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted-secret")
    manager: Any = AsyncKernelManager(kernel_name="rlm", kernel_spec_manager=spec_manager)
    await manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        assert manager.transport == "ipc"
        seen = await ask(client, "__import__('os').environ.get('OPENAI_API_KEY')")
        assert seen == "None"
        assert await ask(client, "llm_query('hi')") == (
            "'Error: no model is configured; set RLM_MODEL (and RLM_BACKEND) before the kernel "
            "starts.'"
        )
        assert await ask(client, "__import__('os').getcwd()") == repr(str(tmp_path))

        looping = client.execute("x = 1\nprint('go', flush=True)\nwhile True: pass")
        while (await client.get_iopub_msg(timeout=60))["msg_type"] != "stream":
            pass
        await manager.interrupt_kernel()
        await reply_to(client, looping)
        assert await ask(client, "x") == "1"

        pid = int(await ask(client, "__import__('os').getpid()"))
        await manager.restart_kernel(now=True)
        await client.wait_for_ready(timeout=60)
        assert not psutil.pid_exists(pid)
        pid = int(await ask(client, "__import__('os').getpid()"))
        assert await manager.is_alive()
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize("environment", ["docker", "modal"], indirect=True)
async def test_a_notebook_kernel_runs_in_a_sandbox(
    environment: str,
    spec_manager: KernelSpecManager,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "planted-secret")
    name = f"rlm-{environment}"
    manager: Any = AsyncKernelManager(kernel_name=name, kernel_spec_manager=spec_manager)
    await manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        info = manager.get_connection_info()
        assert await ask(client, "__import__('os').environ.get('OPENAI_API_KEY')") == "None"
        user = {"docker": "65534", "modal": "0"}[environment]
        assert await ask(client, "__import__('os').getuid()") == user
        assert (await ask(client, "llm_query('hi')")).startswith("'Error: no model is configured")

        asking = client.execute("name = input('who? ')", allow_stdin=True)
        request = await client.get_stdin_msg(timeout=60)
        assert request["content"]["prompt"] == "who? "
        client.input("me")
        await reply_to(client, asking)
        assert await ask(client, "name") == "'me'"
        assert await beats(client)

        looping = client.execute("x = 1\nprint('go', flush=True)\nwhile True: pass")
        while (await client.get_iopub_msg(timeout=60))["msg_type"] != "stream":
            pass
        await manager.interrupt_kernel()
        await reply_to(client, looping)
        assert await ask(client, "x") == "1"

        await manager.restart_kernel(now=True)
        await client.wait_for_ready(timeout=60)
        assert await ask(client, "'x' in globals()") == "False"
        assert manager.get_connection_info() == info

        client.execute("import os; os.kill(-1, 9)")  # the sandbox is lost
        await asyncio.wait_for(manager.provisioner.wait(), 60)
        await manager.restart_kernel(now=True)
        await client.wait_for_ready(timeout=60)
        assert await ask(client, "1 + 1") == "2"
        assert manager.get_connection_info() == info
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def beats(client: Any) -> bool:
    return bool(client.hb_channel.is_alive())


async def ask(client: Any, expression: str) -> str:
    msg_id = client.execute("", user_expressions={"x": expression}, store_history=False)
    reply = await reply_to(client, msg_id)
    return str(reply["content"]["user_expressions"]["x"]["data"]["text/plain"])


async def reply_to(client: Any, msg_id: str) -> dict[str, Any]:
    while True:
        reply: dict[str, Any] = await client.get_shell_msg(timeout=30)
        if reply["parent_header"]["msg_id"] == msg_id:
            return reply


async def test_the_kernel_runs_without_the_provisioner_too(tmp_path: Path) -> None:
    """Where a server knows no provisioner, the kernelspec's command alone is a kernel."""
    env = {**os.environ, "IPYTHONDIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    manager: Any = AsyncKernelManager(transport="ipc", ip=str(tmp_path / "s"))
    manager.kernel_spec.argv = [sys.executable, "-m", "rlm_kernel", "-f", "{connection_file}"]
    await manager.start_kernel(env=env)
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        assert await ask(client, "bool(SHOW_VARS())") == "True"
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
