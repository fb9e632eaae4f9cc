"""What hostile code in a container can reach, and what it can do to its host: next to nothing."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import psutil
import pytest

from rlm.core.environments import new_sandbox
from rlm_kernel.host.answering import CallAnswer
from rlm_kernel.host.options import KernelOptions
from rlm_kernel.host.session import open_session

pytestmark = pytest.mark.parametrize("environment", ["docker"], indirect=True)

PLANTED = "planted-secret-for-the-test"


async def nobody(call: Any) -> CallAnswer:
    return CallAnswer(value="")


async def test_there_is_no_way_to_any_network(open_kernel: Any) -> None:
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


async def test_no_privileges_and_no_way_to_them(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        assert await kernel.out(
            "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
            "for name in ('Uid', 'Gid', 'CapEff', 'CapBnd', 'NoNewPrivs'):"
            " print(name, *status[name].split())"
        ) == (
            "Uid 65534 65534 65534 65534\nGid 65534 65534 65534 65534\n"
            "CapEff 0000000000000000\nCapBnd 0000000000000000\nNoNewPrivs 1\n"
        )


async def test_no_key_is_in_the_environment_or_in_proc(
    open_kernel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "DOCKER_AUTH_CONFIG", "HTTPS_PROXY", "PATH_TO_MY_SECRET"):
        monkeypatch.setenv(name, PLANTED)
    async with open_kernel() as kernel:
        assert (
            await kernel.out(
                "import pathlib, os\nfound = []\n"
                "for file in pathlib.Path('/proc').glob('[0-9]*/*'):\n"
                "    if file.name in ('environ', 'cmdline'):\n"
                "        try: text = file.read_bytes()\n"
                "        except OSError: continue\n"
                f"        if {PLANTED[:7]!r}.encode() + {PLANTED[7:]!r}.encode() in text:"
                " found.append(file)\n"
                f"print(found, {PLANTED[:7]!r} + {PLANTED[7:]!r} in str(os.environ))"
            )
            == "[] False\n"
        )


async def test_the_stream_cannot_be_opened_nor_its_owner_looked_into(open_kernel: Any) -> None:
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


async def test_our_own_half_cannot_be_changed_from_a_cell(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        result = await kernel.run(
            "import sys\n"
            "ours = next(path for path in sys.path if path.startswith('/proc/self/fd/'))\n"
            "with open(ours, 'r+b', buffering=0) as file: file.write(b'x')"
        )
        assert result.error == "PermissionError: [Errno 1] Operation not permitted"


async def test_killing_everything_is_seen_at_once_and_mended(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        await kernel.give("the context")
        await kernel.session.assign("history_0", [1, 2])
        began = time.monotonic()
        result = await kernel.run("import os, signal, time\nos.kill(-1, 9)\ntime.sleep(60)")
        assert time.monotonic() - began < 20  # not the cell's 60; 0.1 s on a machine of its own
        assert (result.status, result.restarted) == ("died", True)
        assert result.error == "The kernel was lost with its sandbox."
        await kernel.session.restart()
        assert await kernel.out("print(context, history, llm_query('x'))") == (
            "the context [1, 2] echo x\n"
        )


async def test_a_lost_container_takes_all_its_kernels_along_and_all_come_back(
    open_kernel: Any,
) -> None:
    async with open_kernel() as kernel:
        await kernel.give("shared")
        others = [await open_session(kernel.sandbox, KernelOptions(), nobody) for _ in range(2)]
        sleeping = [asyncio.create_task(o.execute("import time; time.sleep(60)")) for o in others]
        await kernel.run("import os, time; os.kill(-1, 9); time.sleep(60)")
        assert [r.status for r in await asyncio.gather(*sleeping)] == ["died", "died"]
        sessions = [kernel.session, *others]
        await asyncio.gather(*(session.restart() for session in sessions))
        for session in sessions:
            assert (await session.execute("1 + 1")).status == "ok"
        assert await kernel.out("print(context)") == "shared\n"
        for other in others:
            await other.close()


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
async def test_a_fork_bomb_is_held_and_ends_with_its_kernel(
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


async def test_running_out_of_memory_is_reported_as_that_and_costs_one_kernel(
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


FLOOD = """
from jupyter_client.session import Session
kernel = get_ipython().kernel
text, parent = 'x' * {size}, kernel.get_parent()
for _ in range({count}):
    Session.send(kernel.session, kernel.iopub_socket, 'stream',
                 {{'name': 'stdout', 'text': text}}, parent)
"""


@pytest.mark.parametrize(("size", "count"), [(1_000_000, 10_000), (10, 100_000)])
async def test_a_kernel_that_floods_its_host_is_stopped_and_costs_it_little(
    open_kernel: Any, size: int, count: int
) -> None:
    me = psutil.Process(os.getpid())
    async with open_kernel() as kernel:
        before = me.memory_info().rss
        result = await kernel.run(FLOOD.format(size=size, count=count), timeout=60)
        assert me.memory_info().rss - before < 150e6
        if result.restarted:
            await kernel.session.restart()
        assert (await kernel.run("1 + 1", timeout=60)).status == "ok"


BOMBS = {
    "deep": "'[' * 100_000 + ']' * 100_000",
    "wide": "'[' + '[],' * 20_000_000 + '[]]'",
    "long number": "'9' * 10_000_000",
    "not JSON": "'{'",
    "not UTF-8": "'\\udcff'",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
async def test_bombs_of_json_are_refused(open_kernel: Any, bomb: str) -> None:
    me = psutil.Process(os.getpid())
    async with open_kernel() as kernel:
        before = me.memory_info().rss
        await kernel.run(
            "kernel = get_ipython().kernel\n"
            f"content = ({bomb}).encode('utf-8', 'surrogateescape')\n"
            "session = kernel.session\n"
            "for kind in ('rlm_call', 'rlm_output_limit', 'rlm_poll'):\n"
            "    message = session.msg(kind)\n"
            "    parts = [session.pack(message[n]) for n in ('header', 'parent_header',"
            " 'metadata')] + [content]\n"
            "    whole = [*kernel._host, b'<IDS|MSG>', session.sign(parts), *parts]\n"
            "    kernel.control_thread.io_loop.add_callback("
            "kernel.control_stream.send_multipart, whole)",
            timeout=60,
        )
        assert await kernel.out("print(llm_query('x'))") == "echo x\n"
        assert me.memory_info().rss - before < 300e6


async def test_unsigned_and_replayed_messages_are_dropped(open_kernel: Any) -> None:
    calls = []

    async def count(call: Any) -> CallAnswer:
        calls.append(call.prompt)
        return CallAnswer(value="")

    async with open_kernel(count) as kernel:
        await kernel.run(
            "kernel, session = get_ipython().kernel, get_ipython().kernel.session\n"
            "content = {'floor': 0, 'calls': [{'id': 901, 'kind': 'llm', 'prompt': 'forged'}]}\n"
            "message = session.msg('rlm_call', content)\n"
            "parts = [session.pack(message[n]) for n in ('header', 'parent_header', 'metadata',"
            " 'content')]\n"
            "signed = [*kernel._host, b'<IDS|MSG>', session.sign(parts), *parts]\n"
            "unsigned = [*kernel._host, b'<IDS|MSG>', b'0' * 64, *parts]\n"
            "def send():\n"
            "    for whole in (unsigned, signed, signed, signed):"
            " kernel.control_stream.send_multipart(whole)\n"
            "kernel.control_thread.io_loop.add_callback(send)"
        )
        assert await kernel.out("print(llm_query('real') == '')") == "True\n"
    assert calls == ["forged", "real"]
