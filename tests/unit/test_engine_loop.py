"""Jobs on the engine's loop: waited for and cancelled from anywhere."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys

import pytest

from rlm.core.loop import Job, engine_loop, uncancellable

name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="")


def test_a_job_has_its_callers_context_variables() -> None:
    async def read() -> str:
        return name.get()

    token = name.set("caller")
    assert Job(engine_loop(), read()).wait() == "caller"
    name.reset(token)


def test_what_a_job_raises_is_raised_where_it_is_waited_for() -> None:
    async def fail() -> None:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        Job(engine_loop(), fail()).wait()


def test_a_job_cancelled_before_it_starts_never_runs() -> None:
    async def work() -> None:
        raise AssertionError

    job = Job(engine_loop(), work())
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        job.wait()


def test_there_is_one_loop_per_process() -> None:
    assert engine_loop() is engine_loop()


def test_clean_up_is_finished_before_a_cancellation_goes_on() -> None:
    done: list[str] = []

    async def clean() -> None:
        await asyncio.sleep(0.05)
        done.append("clean")

    async def scenario() -> None:
        task = asyncio.create_task(uncancellable(clean()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    assert done == ["clean"]


def test_clean_up_that_fails_says_so() -> None:
    async def fail() -> None:
        raise LookupError("here")

    async def scenario() -> None:
        with pytest.raises(LookupError):
            await uncancellable(fail())

    asyncio.run(scenario())


def test_importing_rlm_is_light() -> None:
    code = (
        "import sys, rlm\nfrom rlm import RLM\n"
        "RLM(backend_kwargs={'model_name': 'm', 'base_url': 'http://x/v1'})\n"
        "heavy = {'openai', 'anthropic', 'litellm', 'rich', 'nbformat', 'docker', 'modal',"
        " 'jupyter_client', 'IPython', 'httpx', 'pandas', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
