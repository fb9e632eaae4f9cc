"""However the host ends, nothing of it is left: no process, no directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

HOST = """
import asyncio, json, os, sys, tempfile
from rlm_kernel.host.subcalls import CallAnswer
from rlm_kernel.local.sandbox import local_sandbox
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.session import open_session
from rlm_kernel.context.value import context_value

async def never(call):
    await asyncio.Event().wait()

async def main():
    sandbox = local_sandbox()
    await sandbox.start()
    await sandbox.place(context_value("some text"))
    session = await open_session(sandbox, KernelOptions(), never)
    started = asyncio.Event()
    cell = asyncio.create_task(session.execute(sys.argv[1], on_output=lambda o: started.set()))
    await started.wait()
    print(json.dumps({"pid": os.getpid()}), flush=True)
    await cell

asyncio.run(main())
"""

BUSY = """
import subprocess
subprocess.Popen(['sleep', '600'], start_new_session=True)
subprocess.Popen(['sh', '-c', 'setsid sleep 600 &'])
print('go', flush=True)
"""

CELLS = {
    "in a busy loop": f"{BUSY}while True: pass",
    "in a sub-call": f"{BUSY}llm_query('x')",
    "swallowing everything": (
        f"{BUSY}import time\nwhile True:\n    try: time.sleep(100)\n    except BaseException: pass"
    ),
}


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=lambda s: s.name)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS.keys())
def test_a_killed_host_leaves_nothing_behind(signum: signal.Signals, cell: str) -> None:
    host = subprocess.Popen([sys.executable, "-c", HOST, cell], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    with host:
        ready = json.loads(host.stdout.readline())
        below = psutil.Process(ready["pid"]).children(recursive=True)
        assert len(below) >= 4  # the fork server, the kernel, and what the cell started
        os.kill(ready["pid"], signum)
        host.wait(timeout=60)
    _, alive = psutil.wait_procs(below, timeout=60)
    assert alive == []
    deadline = time.monotonic() + 60
    while (left := list(Path(tempfile.gettempdir()).glob("rlm-*"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []
