"""What goes into a REPL and what comes out: contexts, histories, answers, variables, helpers."""

from __future__ import annotations

import asyncio
import functools
import math
import pickle
import re
import stat
import types
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient

from rlm_kernel.context.value import context_value
from rlm_kernel.errors import ContextError, KernelDiedError
from rlm_kernel.host.subcalls import CallAnswer

CONTEXTS: dict[str, Any] = {
    "empty text": "",
    "text with NUL, CR and CRLF": "a\0b\rc\r\nd\n",
    "text with lone surrogates": "a\ud800b\udfffc",
    "text of every plane": "é\u0000中\U0001f600\u2028\ufeff",
    "bytes": bytes(range(256)),
    "a dict": {"a": [1, 2.5, None, True], "b": {"c": "\ud800"}},
    "int keys": {1: "one", 2: "two"},
    "a huge float": [1e400, -1e400],
    "a huge int": [10**5000],
    "tuples": [(1, 2), ("a",)],
    "a set": {1, 2, 3},
    "None": None,
    "an empty list": [],
    "messages": [{"role": "user", "content": "hi"}],
    "a deep list": functools.reduce(lambda inner, _: [inner], range(300), 1),
}


@pytest.mark.parametrize("value", CONTEXTS.values(), ids=CONTEXTS.keys())
async def test_a_context_arrives_as_it_is(open_kernel: Any, value: Any) -> None:
    async with open_kernel() as kernel:
        await kernel.give(value)
        await kernel.give(value, "context_1")
        same = "import pickle\nprint(pickle.dumps(context) == pickle.dumps(context_1))\n"
        assert await kernel.out(f"{same}print(type(context).__name__)") == (
            f"True\n{type(value).__name__}\n"
        )
        # and back, as the hexadecimal digits of its pickle
        shown = await kernel.out("print(pickle.dumps(context).hex())")
        assert pickle.loads(bytes.fromhex(shown.strip())) == value


async def test_nan_and_a_data_frame_arrive(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        await kernel.give([math.nan])
        assert await kernel.out("print(context)") == "[nan]\n"
        await kernel.give(pd.DataFrame({"a": [1, 2]}), "context_1")
        assert await kernel.out("print(context_1['a'].sum())") == "3\n"


def test_what_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ContextError, match="recursion"):
        context_value(functools.reduce(lambda inner, _: [inner], range(100_000), 1))


def test_what_cannot_be_pickled_is_refused_by_its_type() -> None:
    with pytest.raises(ContextError, match="is a generator and cannot be pickled"):
        context_value(x for x in "ab")


async def test_a_class_of_a_script_is_refused_with_what_to_do(open_kernel: Any) -> None:
    main = types.ModuleType("__main__")
    made = type("Mine", (), {"__module__": "__main__"})
    main.Mine = made  # type: ignore[attr-defined]
    import sys

    old = sys.modules["__main__"]
    sys.modules["__main__"] = main
    try:
        value = context_value(made())
    finally:
        sys.modules["__main__"] = old
    async with open_kernel() as kernel:
        placed = await kernel.sandbox.place(value)
        with pytest.raises(ContextError, match="Put the class in a module"):
            await kernel.session.attach("context_0", placed)


async def test_a_missing_module_is_named(
    open_kernel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onlyhere.py").write_text("class Thing: pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    import onlyhere  # type: ignore[import-not-found]

    async with open_kernel() as kernel:
        with pytest.raises(ContextError, match=r"'packages': \['onlyhere'\]"):
            await kernel.give(onlyhere.Thing())


@pytest.mark.parametrize("environment", ["local"], indirect=True)
async def test_the_users_own_modules_can_be_imported_on_this_machine(
    open_kernel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text("class Thing: pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    import mine  # type: ignore[import-not-found]

    async with open_kernel(sys_path=(str(tmp_path),)) as kernel:
        await kernel.give(mine.Thing())
        assert await kernel.out("print(type(context).__name__)") == "Thing\n"


async def test_contexts_are_in_private_files_that_are_removed_with_the_sandbox(
    open_kernel: Any,
) -> None:
    async with open_kernel() as kernel:
        placed = await kernel.sandbox.place(context_value("secret"))
        assert (
            await kernel.out(
                "import os\n"
                f"for path in ({placed.path!r}, os.path.dirname({placed.path!r})):"
                " print(oct(os.stat(path).st_mode & 0o777))"
            )
            == "0o600\n0o700\n"
        )
        session = kernel.session
    assert not Path(placed.path).exists()
    assert not Path(session.connection_file).exists()


async def test_a_discarded_context_frees_its_space(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        placed = await kernel.sandbox.place(context_value("x" * 1000))
        await kernel.session.attach("context_0", placed)
        await kernel.sandbox.discard(placed)
        gone = f"import os, time\nwhile os.path.exists({placed.path!r}): time.sleep(0.001)\n"
        assert await kernel.out(f"{gone}print(len(context))") == "1000\n"


async def test_reserved_names_are_put_back_around_every_cell(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        await kernel.give("the text")
        await kernel.run(
            "llm_query = SHOW_VARS = context = answer = 1\ndel rlm_query, llm_query_batched"
        )
        assert await kernel.out("print(context, context_0, llm_query('x'), answer)") == (
            "the text the text echo x {'content': '', 'ready': False}\n"
        )
        assert await kernel.out("print(rlm_query('y'), llm_query_batched(['z']))") == (
            "echo y ['echo z']\n"
        )
        await kernel.run("get_ipython().reset(new_session=False)")
        assert await kernel.out("print(context, llm_query('x'))") == "the text echo x\n"


ANSWERS = {
    "the dict": ("answer['content'] = 42\nanswer['ready'] = True", "42"),
    "a new dict": ("answer = {'content': 'x', 'ready': 1}", "x"),
    "ready first": ("answer['ready'] = True\nanswer['content'] = 'late'", "late"),
    "an error after it": ("answer.update(content='kept', ready=True)\n1/0", "kept"),
    "FINAL": ("FINAL('done')", "done"),
    "FINAL_VAR by name": ("value = [1]\nFINAL_VAR('value')", "[1]"),
    "FINAL_VAR by value": ("FINAL_VAR({'a': 1})", "{'a': 1}"),
    "not ready": ("answer['content'] = 'draft'", None),
    "no dict": ("answer = 'text'", None),
    "FINAL_VAR of nothing": ("FINAL_VAR('nothing')", None),
    "a bad __str__": (
        "class B:\n    def __str__(self): 1/0\nanswer.update(content=B(), ready=True)",
        "[the answer cannot be shown: ZeroDivisionError]",
    ),
}


@pytest.mark.parametrize(("code", "answer"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_every_way_to_answer_works(open_kernel: Any, code: str, answer: str | None) -> None:
    async with open_kernel() as kernel:
        assert (await kernel.run(code)).answer == answer


async def test_a_draft_is_reported_and_a_new_context_resets_the_answer(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        assert (await kernel.run("answer['content'] = 'so far'")).draft == "so far"
        await kernel.run("answer['ready'] = True")
        await kernel.give("next question")
        assert (await kernel.run("1")).answer is None


async def test_only_the_models_variables_are_listed_with_types_and_previews(
    open_kernel: Any,
) -> None:
    async with open_kernel() as kernel:
        await kernel.give("t")
        result = await kernel.run(
            "import re\n_hidden = 1\nn = 3\ns = 'x' * 1000\nbig = list(range(1000))\n"
            "d = {'a': 1}\ndef f(): pass"
        )
        assert {k: v["type"] for k, v in result.variables.items()} == {
            "n": "int",
            "s": "str",
            "big": "list",
            "d": "dict",
            "f": "function",
        }
        assert result.variables["big"]["preview"] == "list of 1,000"
        assert result.variables["d"]["preview"] == "{'a': 1}"
        assert "(1,000 long)" in result.variables["s"]["preview"]
        assert await kernel.out("print(SHOW_VARS())") == (
            "Available variables: {'n': 'int', 's': 'str', 'big': 'list', 'd': 'dict',"
            " 'f': 'function'}\n"
        )
        assert await kernel.session.variable("n") == "3"
        assert await kernel.session.variable("nothing") is None


async def test_setup_code_runs_before_the_first_cell_and_may_not_fail(open_kernel: Any) -> None:
    async with open_kernel(setup_code="import math\nbase = 10") as kernel:
        assert await kernel.out("print(math.floor(2.5) + base)") == "12\n"
    with pytest.raises(KernelDiedError, match=r"setup_code.*ZeroDivisionError"):
        async with open_kernel(setup_code="1/0"):
            pass


async def test_10_000_sub_calls_in_one_cell_all_come_back_in_order(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        assert (
            await kernel.out(
                "got = llm_query_batched([str(i) for i in range(10_000)])\n"
                "print(got == [f'echo {i}' for i in range(10_000)])"
            )
            == "True\n"
        )


async def test_sub_calls_from_a_thousand_threads_and_tasks(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        assert (
            await kernel.out(
                "import threading, asyncio\nseen = []\n"
                "def ask(i): seen.append(llm_query(str(i)) == f'echo {i}')\n"
                "ts = [threading.Thread(target=ask, args=(i,)) for i in range(1000)]\n"
                "for t in ts: t.start()\n"
                "for t in ts: t.join()\n"
                "tasks = await asyncio.gather(*(allm_query(str(i)) for i in range(1000)))\n"
                "print(len(seen), all(seen), tasks == [f'echo {i}' for i in range(1000)])"
            )
            == "1000 True True\n"
        )


async def test_long_prompts_and_answers_travel_whole(open_kernel: Any) -> None:
    async def double(call: Any) -> CallAnswer:
        return CallAnswer(value=call.prompt * 2)

    async with open_kernel(double) as kernel:
        assert await kernel.out("print(llm_query('é' * 3_000_000) == 'é' * 6_000_000)") == "True\n"


async def test_bad_prompts_are_error_texts_never_exceptions(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        shown = await kernel.out(
            "for bad in (1, None, [1], [{'role': 'user'}]): print(llm_query(bad)[:40])\n"
            "print(llm_query('x', model=3)[:30])\n"
            "ask = llm_query_batched\nprint(ask('one prompt'), ask([]), ask([1, 'a'])[1])"
        )
    lines = shown.splitlines()
    assert all(line.startswith("Error: a prompt must be a str") for line in lines[:4])
    assert lines[4].startswith("Error: model must be a name")
    assert lines[5] == "['echo one prompt'] [] echo a"


async def test_a_handler_that_raises_is_an_error_text(open_kernel: Any) -> None:
    async def fail(call: Any) -> CallAnswer:
        raise RuntimeError(f"no {call.prompt}")

    async with open_kernel(fail) as kernel:
        assert await kernel.out("print(llm_query('luck'))") == "Error: RuntimeError: no luck\n"


async def test_tools_get_their_arguments_and_raise_in_the_cell(open_kernel: Any) -> None:
    import json

    async def tool(call: Any) -> CallAnswer:
        if call.prompt["args"] == [0]:
            return CallAnswer(error="add: zero is not welcome")
        total = sum(call.prompt["args"]) + sum(call.prompt["kwargs"].values())
        return CallAnswer(value=json.dumps({"name": call.name, "total": total}))

    async with open_kernel(tool, tools=("add",)) as kernel:
        assert await kernel.out("print(add(1, 2, c=3))") == "{'name': 'add', 'total': 6}\n"
        assert (
            await kernel.out("try: add(0)\nexcept ToolError as e: print(e)")
            == "add: zero is not welcome\n"
        )
        refused = await kernel.run("add(1, c=object())")
        assert re.match(r"ToolError: add: argument 'c' is not JSON", refused.error or "")


async def test_calls_in_flight_end_with_the_cell_that_is_stopped(open_kernel: Any) -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(call: Any) -> CallAnswer:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return CallAnswer(value="")

    async with open_kernel(wait) as kernel:
        cell = asyncio.create_task(kernel.run("llm_query('x')"))
        await began.wait()
        await kernel.session.interrupt()
        assert (await cell).status == "interrupted"
        await asyncio.wait_for(cancelled.wait(), 60)


async def test_another_jupyter_client_can_join_by_the_connection_file(open_kernel: Any) -> None:
    async with open_kernel() as kernel:
        await kernel.run("shared = 'both see it'")
        file = kernel.session.connection_file
        assert mode(file) == 0o600

        client: Any = AsyncKernelClient(connection_file=file)
        client.load_connection_file()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=60)
            reply = await client.execute_interactive(
                "", user_expressions={"x": "shared"}, timeout=60, store_history=False
            )
        finally:
            client.stop_channels()
            client.context.term()
        seen = reply["content"]["user_expressions"]["x"]["data"]["text/plain"]
        assert seen == "'both see it'"


def mode(path: str | Path) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


@pytest.mark.parametrize("environment", ["local"], indirect=True)
async def test_a_plot_is_an_output(open_kernel: Any) -> None:
    """Containers get matplotlib by `packages`; the way to the output is the same there."""
    async with open_kernel() as kernel:
        for last in ("plt.show()", "display(figure)"):
            code = f"import matplotlib.pyplot as plt\nfigure, _ = plt.subplots()\n{last}\n"
            result = await kernel.run(f"{code}plt.close(figure)")
            pictures = [out for out in result.outputs if "image/png" in out.get("data", {})]
            assert len(pictures) == 1, last
