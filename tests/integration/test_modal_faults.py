"""What goes wrong between us and Modal costs time at most: nothing is lost, nothing done twice."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from grpclib import Status

from rlm.core.environments import new_sandbox
from rlm_kernel.context.value import context_value
from rlm_kernel.errors import KernelDiedError, SandboxError
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.session import open_session
from rlm_kernel.host.subcalls import Call, CallAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from modal_standin import ModalStandIn

    from rlm_kernel.host.session import Session

OUTAGE_SECONDS = 20.0
"""Twice what the SDK rides out by itself."""


class Counting:
    """Answers calls and counts how often each came."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def __call__(self, call: Call) -> CallAnswer:
        self.seen.append(call.prompt)
        return CallAnswer(value=f"echo {call.prompt}")


@asynccontextmanager
async def opened(on_call: Any = None, **kwargs: Any) -> AsyncIterator[Session]:
    sandbox = new_sandbox("modal", kwargs)
    try:
        session = await open_session(sandbox, KernelOptions(), on_call or Counting())
        try:
            yield session
        finally:
            await session.close()
    finally:
        await sandbox.close()


async def out(session: Session, code: str) -> str:
    result = await session.execute(code, timeout=100)
    assert result.status == "ok", result
    return "".join(output["text"] for output in result.outputs if output.get("name") == "stdout")


@pytest.mark.parametrize("after", [0, 1, 7, 1000])
async def test_stdout_that_breaks_off_in_a_message_resumes_there(
    modal: ModalStandIn, after: int
) -> None:
    async with opened() as session:
        for repeat in range(3):
            modal.world.faults.cut_stdout = after
            assert await out(session, f"print('x' * 100_000, {repeat})") == (
                f"{'x' * 100_000} {repeat}\n"
            )
        assert modal.world.faults.cuts == 3


async def test_a_write_whose_reply_is_lost_is_not_repeated(modal: ModalStandIn) -> None:
    calls = Counting()
    async with opened(calls) as session:
        await out(session, "n = 0")
        for repeat in range(1, 4):
            modal.world.faults.lose_replies = 2
            assert await out(session, f"n += 1; print(n, llm_query('{repeat}'))") == (
                f"{repeat} echo {repeat}\n"
            )
    assert calls.seen == ["1", "2", "3"]
    assert modal.world.faults.lose_replies == 0


async def test_a_write_that_is_never_answered_is_sent_again(
    modal: ModalStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_kernel.modal.stream._ANSWER_SECONDS", 0.5)
    async with opened() as session:
        await out(session, "n = 0")
        modal.world.faults.swallow_replies = 1
        assert await out(session, "n += 1; print(n)") == "1\n"
        assert modal.world.faults.swallow_replies == 0


async def test_tokens_expire_and_are_renewed(modal: ModalStandIn) -> None:
    modal.world.lifetime = 5.0
    async with opened() as session:
        await out(session, "x = 1")
        for _ in range(2):
            modal.expire_tokens()
            modal.world.faults.cut_stdout = 0  # the stream that is open has to be opened again
            assert await out(session, "x += 1; print(x)")
        assert await out(session, "print(x)") == "3\n"


async def test_an_outage_longer_than_the_sdks_retries_is_survived(modal: ModalStandIn) -> None:
    calls = Counting()
    began = threading.Event()

    def outage() -> None:
        with modal.outage():
            began.set()
            threading.Event().wait(OUTAGE_SECONDS)

    async with opened(calls) as session:
        await out(session, "n = 0")
        thread = threading.Thread(target=outage)
        thread.start()
        await asyncio.to_thread(began.wait)
        cell = asyncio.create_task(out(session, "n += 1; print(n, llm_query('in the outage'))"))
        assert await cell == "1 echo in the outage\n"
        await asyncio.to_thread(thread.join)
        assert await out(session, "n += 1; print(n)") == "2\n"
    assert calls.seen == ["in the outage"]
    assert len(modal.sandboxes) == 1


async def test_an_outage_longer_than_reconnect_timeout_ends_the_sandbox_but_not_the_run(
    modal: ModalStandIn,
) -> None:
    sandbox = new_sandbox("modal", {"reconnect_timeout": 1})
    try:
        session = await open_session(
            sandbox, KernelOptions(setup_code="mine = 'set up'"), Counting()
        )
        await session.attach("context_0", await sandbox.place(context_value("the text")))
        with modal.outage():
            result = await session.execute("1", timeout=100)
        assert (result.status, result.restarted) == ("died", True)
        await session.restart()
        assert await out(session, "print(context, mine)") == "the text set up\n"
        await session.close()
        assert len(modal.sandboxes) == 2
        assert len(modal.live) == 1  # the first one was ended as soon as that could be said
    finally:
        await sandbox.close()


@pytest.mark.parametrize("how", ["killed by Modal", "kill -1 by a cell"])
async def test_a_lost_sandbox_is_replaced_with_context_and_helpers(
    modal: ModalStandIn, how: str
) -> None:
    calls = Counting()
    sandbox = new_sandbox("modal", {})
    try:
        session = await open_session(sandbox, KernelOptions(), calls)
        big = "long " * 1_000_000
        await session.attach("context_0", await sandbox.place(context_value(big)))
        await session.attach("small", await sandbox.place(context_value({"a": [1]})))
        if how == "killed by Modal":
            modal.kill_sandbox(modal.sandboxes[0])
            result = await session.execute("1")
        else:
            result = await session.execute("import os; os.kill(-1, 9)", timeout=60)
        assert (result.status, result.restarted) == ("died", True)
        await session.restart()
        assert await out(session, "print(len(context), small, llm_query('x'))") == (
            "5000000 {'a': [1]} echo x\n"
        )
        await session.close()
    finally:
        await sandbox.close()
    assert len(modal.sandboxes) == 2
    assert modal.live == []


async def test_a_sandbox_whose_timeout_passes_ends_and_the_next_takes_over(
    modal: ModalStandIn,
) -> None:
    began = asyncio.Event()
    async with opened(timeout=600) as session:
        endless = "print('go', flush=True)\nwhile True: pass"
        cell = asyncio.create_task(session.execute(endless, on_output=lambda _: began.set()))
        await began.wait()
        await asyncio.to_thread(modal.time_out, modal.sandboxes[0])
        result = await cell
        assert (result.status, result.restarted) == ("died", True)
        await session.restart()
        assert await out(session, "print('on')") == "on\n"
    assert modal.live == []


async def test_closing_during_an_outage_ends_what_can_be_ended(
    modal: ModalStandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rlm_kernel.modal.sandbox._END_SECONDS", 1.0)
    sandbox = new_sandbox("modal", {})
    await sandbox.start()
    with modal.outage():
        await sandbox.close()
    assert "could not be ended" in caplog.text
    assert "it ends by itself" in caplog.text


async def test_a_kernel_that_cannot_come_back_says_so(modal: ModalStandIn) -> None:
    async with opened() as session:
        modal.kill_sandbox(modal.sandboxes[0])
        await session.execute("1")
        modal.world.faults.refuse_create = (Status.RESOURCE_EXHAUSTED, "no credit is left")
        with pytest.raises((SandboxError, KernelDiedError), match="no credit is left"):
            await session.restart()
