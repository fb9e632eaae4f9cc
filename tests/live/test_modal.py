"""What every sandbox must do, once through, on Modal itself: `make test-live`; it costs money.

After it `make test-live` runs, on Modal too, every test that the suite has for the environment
`modal` and that asks nothing of the stand-in: see `tests/conftest.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from modal_standin.fixture import MODAL_KWARGS, modal  # noqa: F401 - a fixture of this test

from rlm.core.environments import new_sandbox
from rlm_kernel.context.value import context_value
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.session import open_session
from rlm_kernel.host.subcalls import Call, CallAnswer

NETWORK = """
import socket
try: socket.create_connection(('1.1.1.1', 53), timeout=3)
except OSError: print('no way out')
"""


async def echo(call: Call) -> CallAnswer:
    return CallAnswer(value=f"echo {call.prompt}")


async def out(session: Any, code: str) -> str:
    result = await session.execute(code, timeout=120)
    assert result.status == "ok", result
    return "".join(output["text"] for output in result.outputs if output.get("name") == "stdout")


@pytest.mark.live
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("modal")
def test_a_sandbox_on_modal_does_what_the_stand_in_s_does() -> None:
    asyncio.run(smoke())


async def smoke() -> None:
    sandbox = new_sandbox("modal", MODAL_KWARGS)
    try:
        session = await open_session(sandbox, KernelOptions(), echo)
        big = "x" * 20_000_000
        await session.attach("context_0", await sandbox.place(context_value(big)))
        assert await out(session, "n = 1; print(len(context))") == "20000000\n"
        assert await out(session, "print(llm_query('hi'))") == "echo hi\n"
        assert await out(session, NETWORK) == "no way out\n"

        stopped = await session.execute("import time\nwhile True: time.sleep(1)", timeout=3)
        assert (stopped.status, stopped.restarted) == ("timeout", False)
        assert await out(session, "print(n)") == "1\n"

        lost = await session.execute("import os; os.kill(-1, 9)", timeout=60)
        assert (lost.status, lost.restarted) == ("died", True)
        await session.restart()
        assert await out(session, "print(len(context))") == "20000000\n"
        await session.close()
    finally:
        await sandbox.close()
