"""What is left in the engine of a host that ended: nothing, at once on a machine of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel.docker import prune
from rlm_kernel.docker.container_config import LABEL
from rlm_kernel.docker.engine import engine, engine_address
from rlm_kernel.host.directory import HostDirectory, remove_stale

HOST = """
import asyncio, json, os, sys
from rlm.core.environments import new_sandbox
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.session import open_session
from rlm_kernel.context.value import context_value

async def never(call):
    await asyncio.Event().wait()

async def main():
    sandbox = new_sandbox("docker", json.loads(sys.argv[1]))
    await sandbox.start()
    await sandbox.place(context_value("some text"))
    session = await open_session(sandbox, KernelOptions(), never)
    started = asyncio.Event()
    cell = asyncio.create_task(session.execute(sys.argv[2], on_output=lambda o: started.set()))
    await started.wait()
    print(os.getpid(), flush=True)
    await cell

asyncio.run(main())
"""

CELLS = {
    "in a busy loop": "print('go', flush=True)\nwhile True: pass",
    "swallowing everything": (
        "import subprocess, time\nsubprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "print('go', flush=True)\n"
        "while True:\n    try: time.sleep(100)\n    except BaseException: pass"
    ),
}


def containers_of(pid: int, docker: dict[str, Any]) -> list[Any]:
    filters = {"label": f"{LABEL}.pid={pid}"}
    found: list[Any] = engine(engine_address()).containers(all=True, filters=filters)
    return found


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=lambda s: s.name)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_no_container_is_left_of_a_host_that_was_killed(
    docker: dict[str, Any], signum: signal.Signals, cell: str
) -> None:
    command = [sys.executable, "-c", HOST, json.dumps(docker), cell]
    host = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    with host:
        pid = int(host.stdout.readline())
        assert len(containers_of(pid, docker)) == 1
        os.kill(pid, signum)
        host.wait(timeout=60)
    deadline = time.monotonic() + 60
    while (left := containers_of(pid, docker)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []
    # Its sockets are left, for the next one of its user to remove
    parent = Path(tempfile.gettempdir())
    (folder,) = parent.glob("rlm-*")
    remove_stale(parent)
    assert folder.exists()  # it may just have been made
    os.utime(folder / "host.lock", (0, 0))
    remove_stale(parent)
    assert not folder.exists()


def test_a_container_that_was_never_started_is_found_and_removed(
    docker: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "YOUNG_SECONDS", -1)
    address = engine_address()
    client = engine(address)
    image = client.images(name="python")[0]["Id"]
    orphan = client.create_container(image, ["true"], labels={LABEL: "sandbox"})["Id"]
    left = [one for one in prune.left_containers(address) if orphan.startswith(one.id)]
    assert len(left) == 1
    assert "sandbox container" in left[0].what
    prune.remove_containers(address, left)
    prune.remove_containers(address, left)  # one that is gone is no error
    assert orphan not in [entry["Id"] for entry in client.containers(all=True)]


def test_a_directory_whose_host_lives_is_left_alone() -> None:
    directory = HostDirectory()
    os.utime(directory.path / "host.lock", (0, 0))
    remove_stale(directory.path.parent)
    assert directory.path.exists()
    directory.remove()
    assert not directory.path.exists()
