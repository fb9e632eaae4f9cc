"""A notebook kernel calls models too: its sub-call server has the keys, and ends with it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import psutil
import pytest
from notebook_kernel import Notebook, notebook, until

from rlm import RLM, ConfigurationError
from rlm.demo.server import LMRequest, LMResponse, StandInServer, script

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "planted-secret-key"


@pytest.fixture(autouse=True)
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))


class Opener:
    """`async with opened() as nb`: a notebook whose calls a stand-in server answers."""

    def __init__(
        self, server: Callable[..., StandInServer], folder: Path, environment: str
    ) -> None:
        self._serve = server
        self._folder = folder
        self._environment = environment
        self.server: StandInServer

    def __call__(
        self,
        root: Callable[[LMRequest], str | LMResponse] = lambda _: (
            "```repl\nFINAL(context.upper())\n```"
        ),
        sub: Callable[[str], str | LMResponse] = lambda prompt: f"<{prompt}>",
        **rlm: Any,
    ) -> AbstractAsyncContextManager[Notebook]:
        self.server = self._serve(script(root, sub))
        config: dict[str, Any] = {
            "rlm": {
                "backend": "openai",
                "backend_kwargs": {"model_name": "m", "base_url": self.server.base_url},
                **rlm,
            }
        }
        if self._environment == "docker":
            config["environment_kwargs"] = {"packages": ["pandas"]}
        return notebook(self._folder, self._environment, config=config)


@pytest.fixture
def opened(server: Callable[..., StandInServer], tmp_path: Path, environment: str) -> Opener:
    return Opener(server, tmp_path, environment)


async def test_a_notebook_s_first_cell_is_answered(opened: Opener) -> None:
    async with opened() as nb:
        assert await nb.run("print(llm_query('hi'))") == "<hi>\n"
        assert await nb.run("print(llm_query_batched(['a', 'b']))") == "['<a>', '<b>']\n"
        assert await nb.run("print(await allm_query('hi'))") == "<hi>\n"
        assert await nb.run("print(llm_query('x', model='no'))") == (
            "Error: Unknown model 'no'. Known models: 'm'.\n"
        )


async def test_rlm_query_starts_a_run_with_a_separate_kernel(opened: Opener) -> None:
    def root(_: LMRequest) -> str:
        return "```repl\nimport os\nFINAL(f'{context} {os.getpid()} {llm_query(context)}')\n```"

    async with opened(root) as nb:
        pid = await nb.run("import os\nprint(os.getpid(), end='')")
        word, child, called = (await nb.run("print(rlm_query('c'), end='')")).split()
        assert (word, called) == ("c", "<c>")
        if opened._environment == "local":
            assert child != pid
        both = await nb.run("print(await arlm_query_batched(['a', 'b']))")
        assert "'a " in both
        assert "'b " in both


async def test_by_default_a_grandchild_is_one_plain_call(opened: Opener) -> None:
    async with opened(lambda _: "```repl\nFINAL(rlm_query(context + '!'))\n```") as nb:
        assert await nb.run("print(rlm_query('c'))") == "<c!>\n"


async def test_an_interrupt_cancels_calls_in_flight(opened: Opener) -> None:
    async with opened(sub=lambda _: LMResponse(text="late", delay=60)) as nb:
        cell = await nb.started("print('go', flush=True)\nx = llm_query('x')\nprint('not here')")
        await until(lambda: opened.server.requests)
        await nb.manager.interrupt_kernel()
        status, text = await nb.finish(cell)
        assert status == "error"
        assert "KeyboardInterrupt" in text
        await until(lambda: not opened.server.connections)
        assert await nb.run("print('x' in globals())") == "False\n"


async def test_a_restarted_kernel_is_answered_again(opened: Opener) -> None:
    async with opened() as nb:
        assert await nb.run("print(llm_query('first'))") == "<first>\n"
        await nb.manager.restart_kernel(now=True)
        await nb.client.wait_for_ready(timeout=60)
        # Its calls are counted from 1 again: none may get the answer of one before
        assert await nb.run("print(llm_query('second'))") == "<second>\n"


async def test_a_budget_holds_for_the_whole_notebook(opened: Opener) -> None:
    async with opened(max_budget=1e-9, prices={"m": [1, 1]}) as nb:
        await nb.run("llm_query('x')")
        assert (await nb.run("print(llm_query('y'))")).startswith("Error: Budget exceeded")
        await nb.manager.restart_kernel(now=True)
        await nb.client.wait_for_ready(timeout=60)
        assert (await nb.run("print(llm_query('z'))")).startswith("Error: Budget exceeded")


@pytest.mark.parametrize(
    ("rlm", "problem"),
    [
        ({"backend": "nope", "backend_kwargs": {"model_name": "m"}}, "Unknown backend: 'nope'"),
        ({"max_timeout": 3}, "takes no argument 'max_timeout'"),
        ({"max_budget": 1}, "no model is configured; set RLM_MODEL"),
        ({"backend": "anthropic", "backend_kwargs": {"model_name": "m"}}, "ANTHROPIC_API_KEY"),
    ],
)
async def test_wrong_settings_are_reported_by_the_helpers(
    tmp_path: Path, rlm: dict[str, Any], problem: str
) -> None:
    async with notebook(tmp_path, config={"rlm": rlm}) as nb:
        text = await nb.run("print(llm_query('x'))")
        assert text.startswith("Error: ")
        assert problem in text


async def test_the_model_comes_from_the_environment_and_the_key_stays_there(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = server(script(lambda _: "", lambda prompt: f"<{prompt}>"))
    monkeypatch.setenv("RLM_BACKEND", "openrouter")
    monkeypatch.setenv("RLM_MODEL", "some/model")
    monkeypatch.setenv("RLM_BASE_URL", running.base_url)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    async with notebook(tmp_path) as nb:
        assert await nb.run("print(llm_query('x'))") == "<x>\n"
        assert running.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert running.requests[0].model == "some/model"
        own = "import os\nprint([n for n, v in os.environ.items() if 'planted' in v])"
        assert await nb.run(own) == "[]\n"


async def test_a_secret_in_the_kernelspec_reaches_the_subcall_server_alone(
    opened: Opener, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlm_kernel import install as installing

    spec_of = installing.kernel_spec

    def with_key(name: str, *arguments: Any) -> dict[str, Any]:
        env = {"OPENAI_API_KEY": KEY, "PLAIN": "seen"}
        return {**spec_of(name, *arguments), "env": env}

    monkeypatch.setattr(installing, "kernel_spec", with_key)
    async with opened(backend_kwargs=None) as nb:
        text = await nb.run(
            "import os\nprint(os.environ.get('PLAIN'), os.environ.get('OPENAI_API_KEY'))"
        )
        assert text == "seen None\n"


@pytest.mark.parametrize("environment", ["local"], indirect=True)
async def test_runs_in_the_notebook_itself_ask_its_subcall_server(opened: Opener) -> None:
    def root(_: LMRequest) -> str:
        return "```repl\nFINAL(f'{context} {llm_query(context)}')\n```"

    async with opened(root) as nb:
        await nb.run("text = 'hello'")
        await nb.run("%%rlm -v text -o result --quiet\nWhat?")
        assert await nb.run("print(result.answer, result.usage.total_calls)") == "hello <hello> 2\n"
        await nb.run("from rlm import RLM\nimport os\nmodel = {'model_name': 'm'}")
        run = (
            "with RLM(os.environ['RLM_BACKEND'], model) as rlm: print(rlm.completion('x').response)"
        )
        assert await nb.run(run) == "x <x>\n"
        other = "with RLM('notebook', {'model_name': 'other'}) as rlm: rlm.completion('x')"
        status, text = await nb.outcome(other)
        assert status == "error"
        assert "Unknown model 'other'. Known models: 'm'." in text


@pytest.mark.parametrize("environment", ["local"], indirect=True)
async def test_an_interrupt_stops_the_run_of_its_cell(opened: Opener) -> None:
    late = LMResponse(text="late", delay=60)
    async with opened(lambda _: late) as nb:
        cell = nb.client.execute("%%rlm -o result --quiet\nWhat?")
        await until(lambda: opened.server.requests)
        await nb.manager.interrupt_kernel()
        status, text = await nb.finish(cell)
        assert (status, "interrupted" in text or "cancelled" in text) == ("error", True), text
        await until(lambda: not opened.server.connections)


@pytest.mark.parametrize("environment", ["local"], indirect=True)
async def test_an_interrupt_does_not_stop_background_runs(opened: Opener) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def root(_: LMRequest) -> str:
        asked.set()
        go_on.wait()
        return "```repl\nFINAL('done')\n```"

    async with opened(root) as nb:
        try:
            await nb.run("%%rlm --bg -o job\nWhat?")
            await asyncio.to_thread(asked.wait)
            cell = await nb.started("import time\nprint('go', flush=True)\ntime.sleep(600)")
            await nb.manager.interrupt_kernel()
            assert (await nb.finish(cell))[0] == "error"
        finally:
            go_on.set()
        assert await nb.run("print(job.result().answer)") == "done\n"
        # Nor of the next one, which asks from the same thread
        await nb.run("%%rlm -o result --quiet\nWhat?")
        assert await nb.run("print(result.answer)") == "done\n"


async def test_a_recorded_run_is_continued_by_hand(opened: Opener, tmp_path: Path) -> None:
    turns = ["```repl\nword = llm_query(context)\nprint(word)\n```", "```repl\nFINAL(word)\n```"]
    with (
        StandInServer(script(turns, lambda prompt: f"recorded {prompt}")) as recording,
        RLM(backend_kwargs={"model_name": "m", "base_url": recording.base_url}) as rlm,
    ):
        path = rlm.completion("text").save(tmp_path / "run.ipynb")
    cells: Any = nbformat.read(path, as_version=4).cells  # type: ignore[no-untyped-call]
    async with opened() as nb:
        shown = [await nb.run(cell.source) for cell in cells if cell.cell_type == "code"]
        assert shown[1] == "recorded text\n"
        # From here on by hand: the model's variables are there, and new prompts have an answer
        assert (
            await nb.run("print(word, context, llm_query('new'))") == "recorded text text <new>\n"
        )
        assert await nb.run("print(rlm_query('a child'))") == "A CHILD\n"


def test_outside_a_notebook_kernel_the_notebook_backend_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="only in a notebook of the kernel 'RLM"):
        RLM("notebook", {"model_name": "m"})


def subcall_servers() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "rlm_kernel.subcall_server" in process.cmdline()
    ]


async def test_a_killed_subcall_server_is_replaced_and_calls_go_on(opened: Opener) -> None:
    asked = threading.Event()

    def sub(prompt: str) -> LMResponse:
        first = not asked.is_set()
        asked.set()
        return LMResponse(text=prompt, delay=60 if first else 0)

    async with opened(sub=sub) as nb:
        cell = await nb.started("print('go', flush=True)\nprint(llm_query('x'))")
        await asyncio.to_thread(asked.wait)
        (old,) = subcall_servers()
        old.kill()
        assert await nb.finish(cell) == ("ok", "x\n")
        (new,) = subcall_servers()
        assert new.pid != old.pid


@pytest.mark.parametrize("environment", ["local"], indirect=True)
async def test_a_subcall_server_that_does_not_end_is_killed(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_kernel.subcall_server.process._END_SECONDS", 0.1)
    async with opened() as nb:
        assert await nb.run("print(llm_query('x'))") == "<x>\n"
        (stuck,) = subcall_servers()
        stuck.suspend()
    assert not stuck.is_running()


async def test_a_subcall_server_ends_with_its_kernel_and_ends_its_children(opened: Opener) -> None:
    asked = threading.Event()

    def sub(_: str) -> LMResponse:
        asked.set()
        return LMResponse(text="late", delay=60)

    async with opened(lambda _: "```repl\nFINAL(llm_query('x'))\n```", sub) as nb:
        nb.client.execute("rlm_query('child')")
        await asyncio.to_thread(asked.wait)
        (process,) = subcall_servers()
    assert not process.is_running()


async def test_calls_of_a_kernel_that_died_are_cancelled(opened: Opener) -> None:
    async with opened(sub=lambda _: LMResponse(text="late", delay=60)) as nb:
        await nb.started("print('go', flush=True)\nllm_query('x')")
        await until(lambda: opened.server.requests)
        await nb.manager.signal_kernel(signal.SIGKILL)
        await until(lambda: not opened.server.connections)


HOST = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from notebook_kernel import notebook
async def main():
    rlm = {"backend_kwargs": {"model_name": "m", "base_url": sys.argv[2]}}
    async with notebook(Path(sys.argv[3]), config={"rlm": rlm}) as nb:
        print("started", flush=True)
        await nb.run("rlm_query('child')")
asyncio.run(main())
"""


@pytest.mark.parametrize("environment", ["local"], indirect=True)
def test_a_subcall_server_ends_when_its_jupyter_server_is_killed(
    server: Any, tmp_path: Path, environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def sub(_: str) -> LMResponse:
        asked.set()
        return LMResponse(text="late", delay=60)

    running = server(script(lambda _: "```repl\nFINAL(llm_query('x'))\n```", sub))
    arguments = [str(Path(__file__).parent), running.base_url, str(tmp_path)]
    with subprocess.Popen([sys.executable, "-c", HOST, *arguments], stdout=subprocess.PIPE) as host:
        asked.wait()
        below = psutil.Process(host.pid).children(recursive=True)
        assert any("rlm_kernel.subcall_server" in process.cmdline() for process in below)
        os.kill(host.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(below, timeout=60)
    assert alive == []
