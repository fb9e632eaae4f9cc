"""Cells in a real kernel: what they say, what they leave, and how they are stopped."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

GIGABYTE = 1 << 30


async def test_a_cell_shows_its_output_and_its_last_expression(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        result = await kernel.run("print('hello'); 6 * 7")
    stream, value = result.outputs
    assert (stream["name"], stream["text"]) == ("stdout", "hello\n")
    assert value["data"] == {"text/plain": "42"}
    assert (result.status, result.execution_count, result.error) == ("ok", 1, None)


async def test_outputs_come_one_by_one_while_the_cell_runs(open_kernel: Any) -> None:
    seen: list[dict[str, Any]] = []
    first = asyncio.Event()

    def on_output(output: dict[str, Any]) -> None:
        seen.append(output)
        first.set()

    async with open_kernel() as kernel:
        cell = asyncio.create_task(
            kernel.run("print('one', flush=True); llm_query('wait')", on_output=on_output)
        )
        await first.wait()
        assert seen[0]["text"] == "one\n"
        await cell


async def test_a_cell_that_raises_keeps_its_variables(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        result = await kernel.run("kept = 1\nraise ValueError('no')")
        assert (result.status, result.error) == ("error", "ValueError: no")
        assert result.variables == {"kept": {"type": "int", "preview": "1"}}
        assert "\x1b" not in "".join(result.outputs[-1]["traceback"])
        assert await kernel.out("print(kept)") == "1\n"


async def test_a_failing_repr_does_no_harm(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        bad = "class Bad:\n    def __repr__(self): raise RuntimeError('no repr')\nbad = Bad()\nbad"
        result = await kernel.run(bad)
        assert result.variables["bad"] == {"type": "Bad", "preview": "<Bad>"}
        assert await kernel.out("print('alive')") == "alive\n"


async def test_text_that_is_not_utf8_arrives_anyway(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        assert await kernel.out(r"print('a\ud800b', 'é')") == "a?b é\n"


async def test_input_is_refused_with_an_error(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        result = await kernel.run("input('name? ')", timeout=30)
    assert result.status == "error"
    assert "input" in (result.error or "")


@pytest.mark.parametrize(
    "code", ["exit()", "quit()", "import sys; sys.exit(3)", "raise SystemExit"]
)
async def test_a_cell_cannot_leave_the_repl(open_kernel: Any, code: str) -> None:
    async with open_kernel() as kernel:
        await kernel.run("x = 1")
        await kernel.run(code)
        assert await kernel.out("print(x)") == "1\n"


async def test_top_level_await_and_every_form_of_asyncio_run_work(open_kernel: Any) -> None:
    code = """
import asyncio, contextvars
where = contextvars.ContextVar('where', default='nowhere')
where.set('cell')
async def ask(n):
    return await allm_query(f'{n} {where.get()}')
async def both():
    return await asyncio.gather(ask(1), ask(2))
print(await both())
print(asyncio.run(both()))
print(asyncio.get_event_loop().run_until_complete(both()))
loop = asyncio.new_event_loop()
print(loop.run_until_complete(both()))
loop.close()
if hasattr(asyncio, 'Runner'):
    with asyncio.Runner() as runner:
        print(runner.run(both()))
else:
    print(asyncio.run(both()))
"""
    async with open_kernel() as kernel:
        assert await kernel.out(code) == "['echo 1 cell', 'echo 2 cell']\n" * 5


async def test_an_error_inside_asyncio_run_is_raised_in_the_cell(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        result = await kernel.run(
            "import asyncio\nasync def f(): raise KeyError('inner')\nasyncio.run(f())"
        )
    assert result.error == "KeyError: 'inner'"


STUCK = {
    "a busy loop": "while True: pass",
    "a sleep": "import time; time.sleep(600)",
    "an idle await": "import asyncio; await asyncio.sleep(600)",
    "asyncio.run": "import asyncio; asyncio.run(asyncio.sleep(600))",
    "a subprocess": "import subprocess; subprocess.run(['sleep', '600'])",
    "a shell command": "!sleep 600",
    "a sub-call": "llm_query('never')",
    "a sub-call in a pool": (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool: list(pool.map(llm_query, ['never'] * 4))"
    ),
    "a batch in asyncio.run": "import asyncio; asyncio.run(allm_query_batched(['never'] * 3))",
}


async def never(call: Any) -> Any:
    if call.prompt != "never":
        return await asyncio.sleep(0)
    await asyncio.Event().wait()
    return None


@pytest.mark.parametrize("code", STUCK.values(), ids=STUCK.keys())
async def test_a_cell_over_its_time_limit_is_stopped_and_the_kernel_survives(
    open_kernel: Any, code: str
) -> None:
    async with open_kernel(never) as kernel:
        await kernel.run("x = 1")
        result = await kernel.run(code, timeout=0.3)
        assert (result.status, result.restarted) == ("timeout", False), result
        assert await kernel.out("print(x)") == "1\n"


async def test_a_cell_that_swallows_interrupts_is_killed(open_kernel: Any) -> None:
    stubborn = """
x = 1
while True:
    try:
        for _ in range(10**12): sum(range(100))
    except BaseException: pass
"""
    async with open_kernel() as kernel:
        result = await kernel.run(stubborn, timeout=0.2)
        assert (result.status, result.restarted) == ("timeout", True)
        await kernel.session.restart()
        assert (await kernel.run("x")).error == "NameError: name 'x' is not defined"


async def test_interrupt_stops_the_running_cell_only(open_kernel: Any) -> None:
    started = asyncio.Event()
    async with open_kernel() as kernel:
        cell = asyncio.create_task(
            kernel.run(
                "print('go', flush=True)\nwhile True: pass", on_output=lambda _: started.set()
            )
        )
        await started.wait()
        await kernel.session.interrupt()
        assert (await cell).status == "interrupted"
        assert await kernel.out("print('next')") == "next\n"


async def test_a_cancelled_caller_stops_its_cell(open_kernel: Any) -> None:
    started = asyncio.Event()
    async with open_kernel() as kernel:
        cell = asyncio.create_task(
            kernel.run(
                "x = 5; print('go', flush=True)\nwhile True: pass",
                on_output=lambda _: started.set(),
            )
        )
        await started.wait()
        cell.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cell
        assert await kernel.out("print(x)") == "5\n"


async def test_many_interrupts_never_lose_a_cell(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        for round_ in range(30):
            result = await kernel.run("while True: pass", timeout=0.001 * (round_ % 7))
            assert (result.status, result.restarted) == ("timeout", False), result
        assert await kernel.out("print('fine')") == "fine\n"


DEATHS = {
    "os._exit": ("import os; os._exit(3)", "status 3"),
    "a segfault": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "SIGKILL": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
}


@pytest.mark.parametrize(("code", "how"), DEATHS.values(), ids=DEATHS.keys())
async def test_a_dead_kernel_is_reported_and_comes_back_with_its_context(
    open_kernel: Any, code: str, how: str
) -> None:
    async with open_kernel(setup_code="ready = True", tools=("shout",)) as kernel:
        await kernel.give("the text")
        await kernel.session.assign("history_0", [{"role": "user", "content": "hi"}])
        await kernel.session.assign("history_0", [{"role": "user", "content": "ho"}], append=True)
        result = await kernel.run(f"lost = 1\n{code}")
        assert (result.status, result.restarted) == ("died", True)
        assert how in (result.error or "")
        again = await kernel.run("1")
        assert (again.status, again.restarted) == ("died", True)
        await kernel.session.restart()
        assert await kernel.out("print(context, ready, callable(shout), len(history))") == (
            "the text True True 2\n"
        )
        assert await kernel.out("print(llm_query('hi'))") == "echo hi\n"
        assert "NameError" in (await kernel.run("lost")).error


async def test_endless_print_is_stopped_with_little_memory(open_kernel: Any) -> None:
    async with open_kernel(output_limit=100_000) as kernel:
        before = psutil.Process().memory_info().rss
        result = await kernel.run("while True: print('x' * 1000)", timeout=60)
        assert result.status == "interrupted"
        assert sum(len(o.get("text", "")) for o in result.outputs) <= 100_000
        assert result.dropped > 0
        assert await _rss(kernel) < 200e6
        assert psutil.Process().memory_info().rss - before < 50e6


async def test_endless_writes_to_the_file_descriptor_are_bounded(open_kernel: Any) -> None:
    async with open_kernel(output_limit=100_000) as kernel:
        result = await kernel.run("import os\nwhile True: os.write(1, b'y' * 10_000)", timeout=20)
        assert result.status in ("interrupted", "timeout")
        assert await _rss(kernel) < 200e6
        assert await kernel.out("print('alive')") == "alive\n"


async def test_200_mb_of_output_end_normally_and_are_reported(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        result = await kernel.run("done = 0\nprint('z' * 200_000_000)\ndone = 1", timeout=60)
        assert result.status == "ok"
        assert result.dropped == 200_000_001 - 4_000_000
        assert await kernel.out("print(done)") == "1\n"


async def test_of_a_huge_last_expression_both_ends_are_shown(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        result = await kernel.run("'a' * 50_000_000 + 'end'")
    shown = result.outputs[0]["data"]["text/plain"]
    assert len(shown) < 50_000
    assert shown.endswith("end'")


async def test_huge_errors_and_displays_are_cut(open_kernel: Any) -> None:
    async with open_kernel(output_limit=10_000) as kernel:
        error = await kernel.run("raise ValueError('v' * 10_000_000)")
        assert len(str(error.outputs)) < 40_000
        html = await kernel.run("from IPython.display import HTML\nHTML('h' * 10_000_000)")
        assert len(str(html.outputs)) < 20_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
async def test_memory_over_the_limit_is_a_memory_error(open_kernel: Any) -> None:
    async with open_kernel(memory_limit=GIGABYTE) as kernel:
        result = await kernel.run("x = bytearray(8 << 30)", timeout=60)
        assert (result.error or "").startswith("MemoryError"), result
        threads = """
import threading
gate = threading.Event()
threads = [threading.Thread(target=gate.wait) for _ in range(200)]
for t in threads: t.start()
gate.set()
for t in threads: t.join()
print(len(threads))
"""
        assert await kernel.out(threads) == "200\n"


async def test_shared_memory_over_the_limit_ends_the_kernel_and_says_so(open_kernel: Any) -> None:
    async with open_kernel(memory_limit=300 << 20) as kernel:
        result = await kernel.run(
            "import mmap\nm = mmap.mmap(-1, 1 << 30)\n"
            "for i in range(0, 1 << 30, 4096): m[i] = 1\n"
            "import time; time.sleep(60)",
            timeout=60,
        )
        assert result.status == "died"
        assert "memory limit" in (result.error or "")


ALIVE = """
import os
def alive(pid):
    try: os.kill(int(pid), 0)
    except ProcessLookupError: return False
    return True
print([pid for pid in {} if alive(pid)])
"""
"""A cell that says which of some processes there are."""


async def test_no_credential_reaches_a_kernel(
    open_kernel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "DATABASE_URL",
        "PGPASSWORD",
        "SSH_AUTH_SOCK",
        "CONDA_TOKEN",
    ):
        monkeypatch.setenv(name, "planted-secret")
    async with open_kernel(env={"MINE": "given"}) as kernel:
        seen = await kernel.out(
            "import os, pathlib\n"
            "def shown(pid):\n"
            "    try: return pathlib.Path(f'/proc/{pid}/environ').read_text()\n"
            "    except PermissionError: return ''\n"
            "print(os.environ.get('MINE'), 'planted' in str(dict(os.environ)),"
            " 'planted' in shown(os.getppid()), 'planted' in shown('self'))"
        )
    assert seen == "given False False False\n"


async def test_a_kernel_works_in_a_private_directory_that_is_removed_with_it(
    open_kernel: Any,
) -> None:
    async with open_kernel() as kernel:
        await kernel.run("open('made.txt', 'w').write('x')")
        where = (await kernel.out("import os; print(os.getcwd())")).strip()
        assert await kernel.seen_by_another(f"import os; print(os.listdir({where!r}))") == (
            "['made.txt']\n"
        )
        await kernel.session.close()
        assert (
            await kernel.seen_by_another(
                "import os, time\nfor _ in range(5000):\n"
                f"    if not os.path.exists({where!r}): break\n    time.sleep(0.001)\n"
                f"print(os.path.exists({where!r}))"
            )
            == "False\n"
        )


async def test_processes_started_by_a_cell_end_with_it_even_in_another_session(
    open_kernel: Any,
) -> None:
    async with open_kernel() as kernel:
        pids = await kernel.out(
            "import subprocess, os\n"
            "a = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
            "b = subprocess.run(['sh', '-c', 'setsid sleep 600 >/dev/null 2>&1 & echo $!'],"
            " capture_output=True, text=True)\n"
            "print(a.pid, b.stdout.strip())"
        )
        await kernel.session.close()
        assert await kernel.seen_by_another(ALIVE.format(pids.split())) == "[]\n"


async def test_orphans_of_a_kernel_that_died_by_itself_end_too(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        pid = await kernel.out(
            "import subprocess\n"
            "p = subprocess.Popen(['sleep', '600'], start_new_session=True)\nprint(p.pid)"
        )
        await kernel.run("import os; os._exit(0)")
        assert await kernel.seen_by_another(ALIVE.format(pid.split())) == "[]\n"


async def test_threads_that_write_after_the_cell_do_not_disturb_the_next(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        await kernel.run(
            "import threading, time\nstop = threading.Event()\n"
            "def noise():\n    while not stop.wait(0.001): print('noise')\n"
            "t = threading.Thread(target=noise); t.start()"
        )
        assert (await kernel.run("1 + 1")).status == "ok"
        assert (await kernel.run("stop.set(); t.join()")).status == "ok"


async def test_32_kernels_at_once_do_not_mix_up_their_answers(open_kernel: Any) -> None:
    async def one(number: int) -> None:
        async def answer(call: Any) -> Any:
            from rlm_kernel.host.subcalls import CallAnswer

            return CallAnswer(value=f"{number}:{call.prompt}")

        async with open_kernel(answer) as kernel:
            await kernel.give(f"context {number}")
            seen = await kernel.out("print(context, llm_query_batched(['a', 'b']))")
            assert seen == f"context {number} ['{number}:a', '{number}:b']\n"

    await asyncio.gather(*(one(number) for number in range(32)))


async def _rss(kernel: Any) -> float:
    return float(
        await kernel.out(
            "import os\nprint(int(open('/proc/self/statm').read().split()[1])"
            " * os.sysconf('SC_PAGE_SIZE'))"
        )
    )


def test_sessions_work_on_a_loop_in_any_thread(open_kernel: Callable[..., Any]) -> None:
    seen: list[str] = []

    async def use() -> None:
        async with open_kernel() as kernel:
            seen.append(await kernel.out("print('from a thread')"))

    thread = threading.Thread(target=lambda: asyncio.run(use()))
    thread.start()
    thread.join()
    assert seen == ["from a thread\n"]
