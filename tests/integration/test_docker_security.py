"""What is a container's alone: its network, mounts, privileges, limits on processes and memory.

What holds for Modal's sandboxes as well is in `test_sandbox_security.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from rlm.core.environments import new_sandbox
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.session import open_session
from rlm_kernel.host.subcalls import CallAnswer

pytestmark = pytest.mark.parametrize("environment", ["docker"], indirect=True)


async def nobody(call: Any) -> CallAnswer:
    return CallAnswer(value="")


async def test_no_network_can_be_reached(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        assert (
            await kernel.out(
                "import socket\nprint([name for _, name in socket.if_nameindex()])\n"
                "for address in (('1.1.1.1', 53), ('172.17.0.1', 22), ('169.254.169.254', 80)):\n"
                "    try: socket.create_connection(address, timeout=2)\n"
                "    except OSError as error: print(error.strerror)\n"
                "try: socket.getaddrinfo('example.com', 80)\n"
                "except OSError: print('no names')"
            )
            == "['lo']\n" + "Network is unreachable\n" * 3 + "no names\n"
        )


async def test_nothing_of_the_host_is_mounted_and_the_root_cannot_be_written(
    open_kernel: Any,
) -> None:
    async with open_kernel() as kernel:
        assert (
            await kernel.out(
                "import os\n"
                "mounts = [line.split()[:3] for line in open('/proc/self/mounts')]\n"
                "print(sorted(t for d, t, k in mounts if d.startswith('/dev/')))\n"
                "print([t for d, t, k in mounts if 'docker.sock' in t])\n"
                "for path in ('/x', '/usr/x', '/etc/x', '/home/x', '/root/x', '/var/tmp/x'):\n"
                "    try: open(path, 'w')\n"
                "    except OSError as error: print(error.errno in (13, 30))\n"
                "open('/tmp/x', 'w').write('scratch')"
            )
            == "['/etc/hostname', '/etc/hosts', '/etc/resolv.conf']\n[]\n" + "True\n" * 6
        )


async def test_a_container_has_no_privileges_and_cannot_gain_any(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        assert await kernel.out(
            "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
            "for name in ('Uid', 'Gid', 'CapEff', 'CapBnd', 'NoNewPrivs'):"
            " print(name, *status[name].split())"
        ) == (
            "Uid 65534 65534 65534 65534\nGid 65534 65534 65534 65534\n"
            "CapEff 0000000000000000\nCapBnd 0000000000000000\nNoNewPrivs 1\n"
        )


async def test_the_stream_cannot_be_opened_nor_its_owner_inspected(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        assert (
            await kernel.out(
                "import os, ctypes\n"
                "libc = ctypes.CDLL(None, use_errno=True)\n"
                "pump = int(open('/proc/1/task/1/children').read().split()[0])\n"
                "for pid in (1, pump):\n"
                "    for what in ('fd', 'mem', 'environ', 'maps'):\n"
                "        try:\n"
                "            path = f'/proc/{pid}/{what}'\n"
                "            os.listdir(path) if what == 'fd' else open(path, 'rb').read(1)\n"
                "            print('reached', path)\n"
                "        except OSError: pass\n"
                "    print(libc.ptrace(16, pid, 0, 0))"
            )
            == "-1\n-1\n"
        )


FORK_BOMBS = {
    "of sleepers": "if os.fork() == 0: time.sleep(600)",
    "that doubles": "os.fork()",
    "of sessions": "if os.fork() == 0: os.setsid()",
    "that nothing stops": (
        "if os.fork() == 0:\n            signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "            while True: pass"
    ),
}


@pytest.mark.parametrize("bomb", FORK_BOMBS.values(), ids=FORK_BOMBS.keys())
async def test_a_fork_bomb_is_contained_and_ends_with_its_kernel(
    environment: str, docker: dict[str, Any], bomb: str
) -> None:
    sandbox = new_sandbox("docker", {**docker, "pids_limit": 300})
    try:
        session = await open_session(sandbox, KernelOptions(), nobody)
        result = await session.execute(
            "import os, signal, time\n"
            "while True:\n"
            "    try:\n"
            f"        {bomb}\n"
            "    except BaseException: pass",
            timeout=2,
        )
        assert (result.status, result.restarted) == ("timeout", True)
        await session.restart()
        left = await session.execute("import os; print(len(os.listdir('/proc')) < 100)")
        assert left.outputs[0]["text"] == "True\n"
        await session.close()
    finally:
        await sandbox.close()


async def test_running_out_of_memory_is_reported_and_ends_one_kernel(
    environment: str,
) -> None:
    sandbox = new_sandbox("docker", {"mem_limit": "300m"})
    try:
        await sandbox.start()
        victim = await open_session(sandbox, KernelOptions(), nobody)
        other = await open_session(sandbox, KernelOptions(), nobody)
        result = await victim.execute("held = []\nwhile True: held.append(b'x' * 1_000_000)")
        assert result.status == "died"
        assert result.error == "The kernel was ended: it went over its memory limit of 0.315 GB."
        assert (await other.execute("1 + 1")).status == "ok"
        await victim.restart()
        assert (await victim.execute("1 + 1")).status == "ok"
        await victim.close()
        await other.close()
    finally:
        await sandbox.close()
