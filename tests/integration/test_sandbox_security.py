"""What hostile code in a sandbox can reach, and what it can do to its host: next to nothing.

For a container and for Modal alike. What only a container can show here (privileges, mounts, limits
on processes and memory) is in `test_docker_security.py`; of Modal it is in docs/environments.md.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.session import open_session
from rlm_kernel.host.subcalls import CallAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.parametrize("environment", ["docker", "modal"], indirect=True)

PLANTED = "planted-secret-for-the-test"

STAND_IN_HOLDS = 100e6
"""Bytes of a flood that Modal's stand-in may hold: it is in this process, and Modal is not."""


async def nobody(call: Any) -> CallAnswer:
    return CallAnswer(value="")


async def test_no_key_is_in_the_environment_or_in_proc(
    open_kernel: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "DOCKER_AUTH_CONFIG", "HTTPS_PROXY", "PATH_TO_MY_SECRET"):
        monkeypatch.setenv(name, PLANTED)
    secrets = [
        PLANTED,
        *filter(None, map(os.environ.get, ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"))),
    ]
    async with open_kernel() as kernel:
        seen = await kernel.out(
            "import os, pathlib\n"
            "found = [repr(dict(os.environ))]\n"
            "for file in pathlib.Path('/proc').glob('[0-9]*/*'):\n"
            "    if file.name in ('environ', 'cmdline'):\n"
            "        try: found.append(file.read_bytes().decode('latin1'))\n"
            "        except OSError: pass\n"
            "print(len(found) > 3, *found)"
        )
    assert seen.startswith("True ")
    assert [secret for secret in secrets if secret in seen] == []


async def test_a_cell_sees_nothing_that_the_run_keeps_on_the_host(
    open_kernel: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "answer.txt").write_text("of the host")
    async with open_kernel() as kernel:
        kept = [tempfile.gettempdir(), str(kernel.sandbox.directory), str(tmp_path / "answer.txt")]
        assert list(map(os.path.exists, kept)) == [True] * 3
        assert (
            await kernel.out(f"import os\nprint(list(map(os.path.exists, {kept})))")
            == f"{[False] * 3}\n"
        )


async def test_a_cell_cannot_change_our_code(
    open_kernel: Callable[..., Any],
) -> None:
    async with open_kernel() as kernel:
        result = await kernel.run(
            "import sys\n"
            "ours = next(path for path in sys.path if path.startswith('/proc/self/fd/'))\n"
            "with open(ours, 'r+b', buffering=0) as file: file.write(b'x')"
        )
        assert result.error == "PermissionError: [Errno 1] Operation not permitted"


async def test_killing_every_process_is_noticed_and_repaired(
    open_kernel: Callable[..., Any],
) -> None:
    async with open_kernel() as kernel:
        await kernel.give("the context")
        await kernel.session.assign("history_0", [1, 2])
        result = await kernel.run("import os, time\nos.kill(-1, 9)\ntime.sleep(600)")
        assert (result.status, result.restarted) == ("died", True)
        assert result.error == "The kernel was lost with its sandbox."
        await kernel.session.restart()
        assert await kernel.out("print(context, history, llm_query('x'))") == (
            "the context [1, 2] echo x\n"
        )


async def test_a_lost_sandbox_loses_all_its_kernels_and_all_come_back(
    open_kernel: Callable[..., Any],
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


FLOOD = """
from jupyter_client.session import Session
kernel = get_ipython().kernel
text, parent = 'x' * {size}, kernel.get_parent()
for _ in range({count}):
    Session.send(kernel.session, kernel.iopub_socket, 'stream',
                 {{'name': 'stdout', 'text': text}}, parent)
"""


@pytest.mark.parametrize(("size", "count"), [(1_000_000, 10_000), (10, 100_000)])
async def test_a_kernel_that_floods_its_host_is_stopped_cheaply(
    environment: str, open_kernel: Callable[..., Any], size: int, count: int
) -> None:
    me = psutil.Process(os.getpid())
    async with open_kernel() as kernel:
        before = me.memory_info().rss
        result = await kernel.run(FLOOD.format(size=size, count=count), timeout=60)
        allowed = 150e6 + (STAND_IN_HOLDS if environment == "modal" else 0)
        assert me.memory_info().rss - before < allowed
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
async def test_bombs_of_json_are_refused(open_kernel: Callable[..., Any], bomb: str) -> None:
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


async def test_unsigned_and_replayed_messages_are_dropped(open_kernel: Callable[..., Any]) -> None:
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
