"""Kernels that lie, flood and stall, callers that change their minds: nothing hangs or grows."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import Any

import psutil
import pytest

from rlm_kernel.errors import SandboxError
from rlm_kernel.guest import processes
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.subcalls import CallAnswer
from rlm_kernel.local.sandbox import local_sandbox

FORGE = """
kernel = get_ipython().kernel
def publish(kind, content, parent=None):
    header = parent or {"msg_id": kernel.get_parent()["header"]["msg_id"]}
    kernel.session.meter = None
    kernel.session.send(kernel.iopub_socket, kind, content, parent={"header": header})
def control(kind, content, buffers=()):
    kernel._on_control_thread(
        lambda: kernel.session.send(
            kernel.control_stream, kind, content, ident=kernel._host, buffers=list(buffers)))
"""


async def test_a_call_that_its_caller_gives_up_is_cancelled_on_the_host(open_kernel: Any) -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(call: Any) -> CallAnswer:
        if call.prompt == "slow":
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        if call.prompt == "has it begun?":
            await began.wait()
        return CallAnswer(value=f"echo {call.prompt}")

    async with open_kernel(slow) as kernel:
        assert (
            await kernel.out(
                "import asyncio\n"
                "call = asyncio.ensure_future(allm_query('slow'))\n"
                "await allm_query('has it begun?')\n"
                "try: await asyncio.wait_for(call, 0.2)\n"
                "except asyncio.TimeoutError: print('gave up')\n"
                "print(llm_query_batched(['a', 'b']))"
            )
            == "gave up\n['echo a', 'echo b']\n"
        )
        await asyncio.wait_for(cancelled.wait(), 60)


async def test_a_second_cancelled_caller_does_not_poison_the_session(open_kernel: Any) -> None:
    started = asyncio.Event()
    stubborn = (
        "print('go', flush=True)\nimport time\nfor _ in range(3):\n"
        "    try: time.sleep(60)\n    except KeyboardInterrupt: pass"
    )
    async with open_kernel() as kernel:
        first = asyncio.create_task(kernel.run(stubborn, on_output=lambda _: started.set()))
        await started.wait()
        first.cancel()
        second = asyncio.create_task(kernel.run("print('second')"))
        await asyncio.wait({first})
        second.cancel()
        await asyncio.wait({second})
        assert await kernel.out("print('third')") == "third\n"


async def test_malformed_messages_do_not_stop_the_others(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        shown = await kernel.out(
            FORGE + "publish('stream', {'name': 'stdout', 'text': 'x'}, {'msg_id': []})\n"
            "publish('display_data', {'data': {'text/plain': 'x'}, 'transient': 'x'})\n"
            "publish('update_display_data',"
            " {'data': {'text/plain': 'x'}, 'transient': {'display_id': []}})\n"
            "publish('status', {'execution_state': []})\n"
            "for bad in (3, [1, {'id': 'x'}, {'id': 9}], {}):\n"
            "    control('rlm_call', {'calls': bad, 'floor': []})\n"
            "control('rlm_output_limit', {'dropped': 'x'}); control('rlm_poll', {'ids': 'x'})\n"
            "print('still', llm_query('here'))"
        )
        assert shown.endswith("still echo here\n")
        assert await kernel.out("print('next')") == "next\n"


async def test_everything_that_a_kernel_publishes_counts(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        before = psutil.Process().memory_info().rss
        result = await kernel.run(
            FORGE + "for _ in range(8):\n"
            "    publish('display_data', {'data': {'text/plain': 'x'},"
            " 'metadata': {'k': 'x' * 10_000_000}})",
            timeout=60,
        )
        assert len(json.dumps(result.outputs)) < 6_000_000
        assert psutil.Process().memory_info().rss - before < 200e6


async def test_one_buffer_is_one_prompt(open_kernel: Any) -> None:
    seen: list[int] = []

    async def note(call: Any) -> CallAnswer:
        seen.append(len(call.prompt))
        return CallAnswer(value="")

    async with open_kernel(note) as kernel:
        await kernel.run(
            FORGE + "calls = [{'id': 10_000 + i, 'kind': 'llm', 'buffer': 0} for i in range(100)]\n"
            "control('rlm_call', {'calls': calls}, [b'x' * 1_000_000])\nllm_query('y')"
        )
    assert seen == [1_000_000, 1]


async def test_a_prompt_that_is_too_long_is_refused_with_its_size(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        assert await kernel.out(
            "long = 'x' * 64_000_001\nprint(llm_query(long)[:60])\n"
            "print(llm_query([{'role': 'user', 'content': long}])[:24])\nprint(llm_query('ok'))"
        ) == (
            "Error: the prompt has 64,000,001 characters; at most 64,000,\n"
            "Error: the prompt has 64\necho ok\n"
        )


async def test_a_chat_is_a_prompt(open_kernel: Any) -> None:
    async def content(call: Any) -> CallAnswer:
        return CallAnswer(value=call.prompt[0]["content"])

    async with open_kernel(content) as kernel:
        chat = "[{'role': 'user', 'content': 'é' * 10_000}]"
        assert await kernel.out(f"print(llm_query({chat}) == 'é' * 10_000)") == "True\n"


async def test_a_huge_error_is_a_short_line(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        result = await kernel.run("raise ValueError('v' * 290_000_000)", timeout=60)
        assert result.status == "error"
        assert len(result.error or "") <= 10_000
        assert await kernel.out("print('alive')") == "alive\n"


async def test_odd_characters_are_replaced_and_nothing_else_is_lost(open_kernel: Any) -> None:
    async def odd(call: Any) -> CallAnswer:
        return CallAnswer(value="a\ud83db")

    async with open_kernel(odd) as kernel:
        assert await kernel.out("print(llm_query_batched(['x', 'y']))") == "['a?b', 'a?b']\n"
        assert (await kernel.run("x = 1  # \ud83d")).status == "ok"


async def test_after_an_interrupt_the_cells_threads_make_no_more_calls(open_kernel: Any) -> None:
    asked = 0

    async def count(call: Any) -> CallAnswer:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.02)
        return CallAnswer(value=f"echo {call.prompt}")

    async with open_kernel(count) as kernel:
        await kernel.run(
            "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(4)"
        )
        result = await kernel.run(
            "futures = [pool.submit(llm_query, str(i)) for i in range(5000)]\n"
            "for f in futures: f.result()",
            timeout=0.5,
        )
        assert result.status == "timeout"
        at_the_end = asked
        # New threads are the next cell's, though they get the numbers of those that have ended
        next_cell = (
            "import asyncio\npool.shutdown()\npool = ThreadPoolExecutor(4)\n"
            "print(llm_query('a'), *pool.map(llm_query, 'bcde'), asyncio.run(allm_query('f')))"
        )
        assert await kernel.out(next_cell) == "echo a echo b echo c echo d echo e echo f\n"
        assert asked - at_the_end < 100


async def test_a_variable_whose_str_never_ends_does_not_hang(
    open_kernel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_kernel.host.session.TEXT_SECONDS", 0.5)
    async with open_kernel() as kernel:
        await kernel.run("class E:\n    def __str__(self):\n        while True: pass\ne = E()")
        assert await kernel.session.variable("e") is None
        assert (await kernel.run("1")).restarted


async def test_children_s_memory_counts_and_shared_pages_count_once(open_kernel: Any) -> None:
    async with open_kernel(memory_limit=400 << 20) as kernel:
        result = await kernel.run(
            "import os, time\nfor _ in range(4):\n"
            "    if os.fork() == 0:\n"
            "        x = bytearray(os.urandom(1 << 20) * 150)\n        time.sleep(60)\n"
            "time.sleep(60)",
            timeout=60,
        )
        assert "memory limit" in (result.error or "")
        await kernel.session.restart()
        shared = (
            "import os, time\nx = bytearray(os.urandom(1 << 20) * 150)\n"
            "pids = [os.fork() or (time.sleep(1.5), os._exit(0)) for _ in range(4)]\n"
            "for pid in pids: os.waitpid(pid, 0)\nprint('fine')"
        )
        assert await kernel.out(shared) == "fine\n"


async def test_what_a_cell_forked_never_becomes_a_second_kernel(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        falls_through = (
            "import os, time\nchild = os.fork()\nif child: print(os.waitpid(child, 0)[1])"
        )
        assert await kernel.out(falls_through) == "0\n"
        forked = asyncio.Event()
        sleeps = (
            "told, tell = os.pipe()\nchild = os.fork()\n"
            "if child: os.read(told, 1); print('forked', flush=True)\n"
            "else: os.write(tell, b'x')  # until here a child drops signals\n"
            "time.sleep(60)"
        )
        cell = asyncio.create_task(kernel.run(sleeps, on_output=lambda _: forked.set()))
        await forked.wait()
        await kernel.session.interrupt()
        result = await cell
        assert (result.status, result.restarted) == ("interrupted", False)
        assert await kernel.out("print(os.waitpid(child, 0)[1])") == f"{int(signal.SIGINT)}\n"


async def test_a_timer_that_prints_in_the_middle_of_printing_is_no_deadlock(
    open_kernel: Any,
) -> None:
    async with open_kernel() as kernel:
        result = await kernel.run(
            "import signal\nsignal.signal(signal.SIGALRM, lambda *_: print('!'))\n"
            "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
            "for i in range(3000): print(i)\nsignal.setitimer(signal.ITIMER_REAL, 0)",
            timeout=30,
        )
        assert result.status in ("ok", "error"), result


async def test_a_closed_sandbox_starts_nothing() -> None:
    sandbox = local_sandbox()
    await sandbox.start()
    await sandbox.close()
    with pytest.raises(SandboxError, match="closed"):
        await sandbox.start_kernel(KernelOptions())


async def test_text_of_surrogate_pairs_and_shared_values_arrive_as_they_are(
    open_kernel: Any,
) -> None:
    inner = ["x"]
    async with open_kernel() as kernel:
        await kernel.give([["\ud83d\ude00"], inner, inner])
        assert await kernel.out("print(len(context[0][0]), context[1] is context[2])") == "2 True\n"


def test_a_host_that_forked_and_was_killed_leaves_no_kernel() -> None:
    script = """
import asyncio, os, sys, time
from rlm_kernel.local.sandbox import local_sandbox
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.session import open_session
async def main():
    sandbox = local_sandbox()
    await sandbox.start()
    session = await open_session(sandbox, KernelOptions(), None)
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        host.stdout.readline()
        below = psutil.Process(host.pid).children(recursive=True)
        servers = [p for p in below if "forkserver" in " ".join(p.cmdline())]
        forked = [p for p in below if p not in servers]
        host.kill()
        host.wait()
        gone, alive = psutil.wait_procs(servers, timeout=60)
        for process in forked:
            process.kill()
        assert (len(gone) >= 1, alive) == (True, [])


def test_the_program_that_lists_processes_is_not_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on macOS, where there is no /proc."""
    monkeypatch.setattr(processes, "_LINUX", False)
    if not os.path.exists("/bin/ps"):  # noqa: PTH110 - one look
        pytest.fail("no /bin/ps")
    with subprocess.Popen(["sleep", "30"]) as sleeper:
        assert sleeper.pid in processes.children(os.getpid())
        assert processes.children(sleeper.pid) == []
        sleeper.kill()


async def test_values_nested_too_deeply_do_not_reach_the_readers(open_kernel: Any) -> None:
    nest = "deep = 'x'\nfor _ in range(400): deep = [deep]\n"
    async with open_kernel() as kernel:
        result = await kernel.run(
            f"{FORGE}{nest}"
            "data = {'text/plain': 'kept', 'application/json': deep}\n"
            "publish('display_data', {'data': data, 'metadata': {'x': deep}})\n"
            "publish('display_data', {'data': {'application/json': deep}, 'metadata': {}})"
        )
        first, second = (o for o in result.outputs if o["output_type"] == "display_data")
        assert first["data"] == {"text/plain": "kept"}
        assert first["metadata"] == {}
        assert "nested too deeply" in second["data"]["text/plain"]
        said = await kernel.out(f"{nest}print(llm_query([{{'role': 'user', 'content': deep}}]))")
        assert said.startswith("Error: ")
        assert "nested more than 100 levels" in said
        assert await kernel.out("print(llm_query('well'))") == "echo well\n"
