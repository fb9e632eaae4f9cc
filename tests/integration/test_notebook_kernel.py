"""A person's kernel is an ordinary notebook kernel, with what a model's REPL has besides."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from notebook_kernel import Notebook, notebook

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def opened(
    environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], AbstractAsyncContextManager[Notebook]]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    kwargs = {"packages": ["pandas"]} if environment == "docker" else {}
    config = {} if environment == "local" else {"environment_kwargs": kwargs}
    return lambda: notebook(tmp_path, environment, config=config)


async def test_its_output_is_ordinary(opened: Any) -> None:
    async with opened() as nb:
        assert len(await nb.run("print('x' * 5_000_000)")) == 5_000_001
        info = await reply(nb, nb.client.kernel_info())
        assert info["content"]["language_info"]["name"] == "python"
        assert info["content"]["implementation"] == "rlm"
        nb.client.execute("1/0")
        traceback = ""
        while not traceback:
            message = await nb.client.get_iopub_msg(timeout=60)
            traceback = "".join(message["content"].get("traceback", ()))
        assert "\x1b[" in traceback  # in colours, as in any notebook


async def reply(nb: Notebook, msg_id: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = await nb.client.get_shell_msg(timeout=60)
        if message["parent_header"]["msg_id"] == msg_id:
            return message


async def test_it_has_a_history_and_a_debugger_and_can_be_left(opened: Any) -> None:
    async with opened() as nb:
        await nb.run("a = 1")
        await nb.run("a + 1")
        assert await nb.run("print(In[1], Out[2])") == "a = 1 2\n"
        history = await reply(nb, nb.client.history(hist_access_type="tail", n=5))
        assert "a = 1" in [entry[2] for entry in history["content"]["history"]]

        message = nb.client.session.msg(
            "debug_request",
            {"type": "request", "seq": 1, "command": "initialize", "arguments": {}},
        )
        nb.client.control_channel.send(message)
        while True:
            answer = await nb.client.get_control_msg(timeout=60)
            if answer["msg_type"] == "debug_reply":
                break
        assert answer["content"]["success"] is True

        left = await reply(nb, nb.client.execute("exit"))
        assert left["content"]["payload"] == [{"source": "ask_exit", "keepkernel": False}]


async def test_helpers_come_back_when_deleted_and_stay_when_replaced(opened: Any) -> None:
    async with opened() as nb:
        await nb.run("del llm_query, SHOW_VARS\nrlm_query = 'mine'\nanswer = 7\ndel context")
        assert await nb.run("print(callable(llm_query), rlm_query, answer)") == "True mine 7\n"
        assert await nb.run("print('context' in globals())") == "False\n"


async def test_what_a_model_writes_runs_in_it(opened: Any) -> None:
    async with opened() as nb:
        cell = "import asyncio\nasync def f():\n    return 5\nprint(asyncio.run(f()), await f())"
        assert await nb.run(cell) == "5 5\n"
        await nb.run("answer['content'] = 'done'; answer['ready'] = True; FINAL_VAR('cell')")
        assert await nb.run("print(answer['ready'])") == "True\n"


async def test_a_context_is_loaded_from_a_variable(opened: Any) -> None:
    async with opened() as nb:
        assert await nb.run("print(repr(context))") == "''\n"
        await nb.run("answer['ready'] = True\nreport = ['a', 'b']")
        text = await nb.run("%rlm_context report")
        assert text == "context is a list of length 2, the variable report\n"
        assert await nb.run("print(context is report, context_0 is report, answer)") == (
            "True True {'content': '', 'ready': False}\n"
        )
        assert await nb.run("%rlm_context") == "context is a list of length 2\n"


async def test_a_context_is_loaded_from_a_file_or_a_folder(opened: Any, environment: str) -> None:
    async with opened() as nb:
        await nb.run(
            "import os, tempfile\nfolder = tempfile.mkdtemp()\n"
            "for name, text in {'a $b {c}.txt': 'Äpfel', 'b.txt': 'x'}.items():\n"
            "    with open(f'{folder}/{name}', 'w', encoding='utf-8') as f: _ = f.write(text)\n"
            "os.chdir(folder)"
        )
        text = await nb.run("%rlm_context 'a $b {c}.txt'")
        assert text == "context is a str of length 5, read from the file 'a $b {c}.txt'\n"
        assert await nb.run("print(context)") == "Äpfel\n"
        assert "the text files of the folder" in await nb.run("%rlm_context .")
        assert await nb.run("print(sorted(context))") == "['a $b {c}.txt', 'b.txt']\n"

        status, text = await nb.outcome("%rlm_context nothing")
        assert status == "error"
        sandboxed = "which sees none of your machine's files" in text
        assert sandboxed == (environment != "local")


async def test_a_local_kernel_has_the_notebook_s_magics(tmp_path: Path) -> None:
    async with notebook(tmp_path) as nb:
        assert await nb.run("import sys; print('rlm_ipython' in sys.modules)") == "True\n"
