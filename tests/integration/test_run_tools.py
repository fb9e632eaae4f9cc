"""Tools of the host, called from cells as sub-calls."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from rlm import ContextError
from rlm.demo.server import LMRequest


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


def answer(expression: str) -> str:
    return cell(f"answer['content'] = {expression}; answer['ready'] = True")


def caught(call: str) -> str:
    return cell(
        f"try:\n    {call}\nexcept Exception as e:\n"
        "    answer['content'], answer['ready'] = f'{type(e).__name__}: {e}', True"
    )


def test_callables_run_on_threads_of_the_host_and_exchange_json(scripted: Any) -> None:
    threads: list[str] = []

    def look_up(key: str, *, default: Any = None) -> Any:
        threads.append(threading.current_thread().name)
        return {"key": key, "values": [1, 2.5, None, True], "default": default}

    rlm = scripted([answer("look_up('ü', default=[1])")], custom_tools={"look_up": look_up})
    result = rlm.completion("c")
    assert eval(result.response) == {
        "key": "ü",
        "values": [1, 2.5, None, True],
        "default": [1],
    }
    assert threads[0] not in ("MainThread", "rlm-engine")
    (call,) = result.trajectory.root.sub_calls
    assert (call.started.kind, call.started.model) == ("tool", "look_up")


def test_async_tools_work(scripted: Any) -> None:
    async def slow(n: int) -> int:
        await asyncio.sleep(0.01)
        return n + 1

    rlm = scripted([answer("slow(1)")], custom_tools={"slow": slow})
    assert rlm.completion("c").response == "2"


def test_what_a_tool_raises_is_a_tool_error_in_the_cell(scripted: Any) -> None:
    def broken() -> None:
        raise KeyError("gone")

    rlm = scripted([caught("broken()")], custom_tools={"broken": broken})
    assert rlm.completion("c").response == "ToolError: broken: KeyError: 'gone'"


def test_even_a_tool_that_exits_does_not_end_the_engine(scripted: Any) -> None:
    rlm = scripted([caught("stop()")], custom_tools={"stop": lambda: exec("raise SystemExit(1)")})
    assert rlm.completion("c").response == "ToolError: stop: RuntimeError: SystemExit: 1"


def test_values_that_are_not_json_are_refused_by_name(scripted: Any) -> None:
    tools = {"same": lambda value: value, "thing": lambda: {1, 2}}
    rlm = scripted([caught("same(value=object())")], custom_tools=tools)
    assert "argument 'value'" in rlm.completion("c").response
    rlm = scripted([caught("thing()")], custom_tools=tools)
    assert "thing returned a set, which is not JSON" in rlm.completion("c").response


def test_other_values_become_variables_and_all_are_described(scripted: Any) -> None:
    rlm = scripted(
        [answer("(RATES['eur'], sorted(KINDS))")],
        custom_tools={
            "RATES": {"tool": {"eur": 1.1}, "description": "exchange rates"},
            "KINDS": {"b", "a"},
            "add": lambda a, b: a + b,
        },
    )
    assert rlm.completion("c").response == "(1.1, ['a', 'b'])"
    system = scripted.server.requests[0].messages[0]["content"]
    assert "- `RATES`: exchange rates" in system
    assert "- `KINDS`: a set" in system
    assert "- `add`: a function" in system


def test_a_tool_may_run_a_completion(scripted: Any) -> None:
    def root(request: LMRequest) -> str:
        inner = "str of 5 characters" in str(request.messages)
        return answer("'inner answer'" if inner else "ask('inner')")

    tools: dict[str, Any] = {}
    inner_results: list[Any] = []

    def ask(text: str) -> str:
        inner_results.append(tools["rlm"].completion(text))
        return str(inner_results[0].response)

    rlm = tools["rlm"] = scripted(root, custom_tools={"ask": ask})
    result = rlm.completion("outside")
    assert result.response == "inner answer"
    assert result.trajectory.counts["children"] == 0
    assert inner_results[0].trajectory.root.started.parent_id is None


def test_tools_survive_being_overwritten(scripted: Any) -> None:
    rlm = scripted(
        [cell("double = llm_query = None; del context"), answer("(double(2), llm_query('x'))")],
        custom_tools={"double": lambda n: 2 * n},
    )
    assert rlm.completion("c").response == "(4, 'ok')"


@pytest.mark.parametrize("at_once", [40])
def test_many_waiting_tools_do_not_lock_each_other_out(scripted: Any, at_once: int) -> None:
    barrier = threading.Barrier(at_once, timeout=30)
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        f"with ThreadPoolExecutor({at_once}) as pool:\n"
        f"    got = list(pool.map(meet, range({at_once})))\n"
        "answer['content'], answer['ready'] = len(got), True"
    )

    def meet(number: int) -> int:
        barrier.wait()
        return number

    assert scripted([cell(code)], custom_tools={"meet": meet}).completion("c").response == str(
        at_once
    )


@pytest.mark.parametrize("persistent", [False, True])
def test_a_tool_that_cannot_travel_is_named(scripted: Any, persistent: bool) -> None:
    rlm = scripted([], custom_tools={"door": threading.Lock()}, persistent=persistent)
    with pytest.raises(ContextError, match=r"custom tool 'door' is a lock and cannot be pickled"):
        rlm.completion("c")
    assert scripted.server.requests == []
