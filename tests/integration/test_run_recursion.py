"""Sub-calls, children and routing, over real kernels."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rlm import RLMLogger
from rlm.demo.server import LMRequest, LMResponse, StandInServer, script
from rlm_kernel.docker.container_config import LABEL
from rlm_kernel.docker.engine import engine, engine_address

CONTEXT = "answer['content'] = {0}; answer['ready'] = True"

WHERE = "os.path.basename(os.path.realpath('/proc/self/ns/pid'))"
"""The namespace of a sandbox's processes, which no other has; one for all on this machine."""


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


def answer(expression: str) -> str:
    return cell(CONTEXT.format(expression))


@pytest.fixture
def sandboxes(request: pytest.FixtureRequest, environment: str) -> Callable[[], int | None]:
    """Counts this process's sandboxes that run now; None where nobody can be asked."""
    if environment == "modal":
        stand_in = request.getfixturevalue("modal")
        return lambda: None if stand_in is None else len(stand_in.live)
    if environment == "docker":
        mine = {"label": f"{LABEL}.pid={os.getpid()}"}
        return lambda: len(engine(engine_address()).containers(filters=mine))
    return lambda: None


def test_many_children_at_once_share_one_sandbox(
    scripted: Any, sandboxes: Callable[[], int | None]
) -> None:
    def root(request: LMRequest) -> str:
        if "str of 6 characters" in str(request.messages):
            return answer("len(set(rlm_query_batched(['child'] * 8)))")
        return cell(f"import os\n{CONTEXT.format(f'({WHERE}, llm_query(context))')}")

    rlm = scripted(root, lambda _: str(sandboxes()), max_depth=2)
    result = rlm.completion("parent")
    assert result.response == "1"
    assert result.trajectory.counts["children"] == 8
    (seen,) = {call.finished.response for call in result.trajectory.root.sub_calls}
    assert eval(seen)[1] in ("1", "None")


def test_three_levels_of_children_have_a_kernel_each_in_one_sandbox(
    scripted: Any, sandboxes: Callable[[], int | None]
) -> None:
    # Every run asks a child about its context with a letter more, the deepest one answers.
    code = (
        "import os\n"
        f"where = {WHERE}\n"
        "below = rlm_query(context + 'x') if len(context) < 4 else llm_query('how many?')\n"
        "answer['content'] = f'{context}:{os.getpid()}:{where} {below}'; answer['ready'] = True"
    )
    rlm = scripted(lambda _: cell(code), lambda _: str(sandboxes()), max_depth=4)
    result = rlm.completion("x")
    *parts, at_the_deepest = result.response.split()
    names, kernels, places = zip(*(part.split(":", 2) for part in parts), strict=True)
    assert names == ("x", "xx", "xxx", "xxxx")
    assert len(set(kernels)) == 4
    assert len(set(places)) == 1
    assert at_the_deepest in ("1", "None")
    assert result.usage.total_calls == 5
    run = result.trajectory.root
    for depth in range(4):
        assert run.started.depth == depth
        assert run.finished.status == "answered"
        assert run.usage.total_calls == 5 - depth
        run = run.children[0] if run.children else None


def test_at_the_depth_limit_rlm_query_is_one_plain_call(scripted: Any) -> None:
    rlm = scripted([answer("rlm_query('hi')")], lambda prompt: f"plain {prompt}")
    result = rlm.completion("c")
    assert result.response == "plain hi"
    (call,) = result.trajectory.root.sub_calls
    assert call.started.kind == "llm"


def test_batches_keep_their_order_and_survive_single_failures(scripted: Any) -> None:
    def sub(prompt: str) -> str | LMResponse:
        if prompt == "3":
            return LMResponse(text="no", status=400)
        return f"<{prompt}>"

    rlm = scripted([answer("llm_query_batched([str(i) for i in range(6)])")], sub)
    answers = eval(rlm.completion("c").response)
    assert answers[:3] + answers[4:] == ["<0>", "<1>", "<2>", "<4>", "<5>"]
    assert answers[3].startswith("Error: ")


def test_a_failing_sub_call_is_text_and_in_the_record(scripted: Any) -> None:
    rlm = scripted([answer("llm_query('x')")], lambda _: LMResponse(status=401, text="bad key"))
    result = rlm.completion("c")
    assert result.response.startswith("Error: ")
    (call,) = result.trajectory.root.sub_calls
    assert call.finished.error
    assert call.finished.response == result.response


def test_a_child_that_fails_is_text_for_its_parent(scripted: Any) -> None:
    def root(request: LMRequest) -> str | LMResponse:
        if "str of 5 characters" in str(request.messages):
            return LMResponse(status=400, text="refused")
        return answer("rlm_query('child')")

    result = scripted(root, max_depth=2).completion("parent")
    assert result.response.startswith("Error: ")
    assert result.trajectory.root.children[0].finished.status == "error"


def test_failing_turns_of_a_child_end_the_child_only(scripted: Any) -> None:
    rlm = scripted(
        lambda _: cell("if context == 'child': 1 / 0\n" + CONTEXT.format("rlm_query('child')")),
        max_depth=2,
        max_errors=2,
    )
    result = rlm.completion("parent")
    assert result.response.startswith("Error: Error threshold exceeded")
    assert result.trajectory.root.children[0].finished.status == "limit"


def test_a_chat_of_messages_can_be_asked(scripted: Any) -> None:
    code = answer(
        "llm_query([{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': 'b'},"
        " {'role': 'user', 'content': 'c'}])"
    )
    rlm = scripted([code], lambda prompt: f"heard {prompt}")
    assert rlm.completion("c").response == "heard c"
    assert len(scripted.server.requests[-1].messages) == 3


def test_sub_calls_go_to_the_first_other_backend_unless_they_name_a_model(
    scripted: Any, server: Any
) -> None:
    other = server(script([], lambda _: "other"))
    third = server(script([], lambda _: "third"))
    rlm = scripted(
        [answer("[llm_query('x'), llm_query('x', model='m'), llm_query('x', model='n3')]")],
        lambda _: "root",
        other_backends=["openai", "vllm"],
        other_backend_kwargs=[
            {"model_name": "n2", "base_url": other.base_url},
            {"model_name": "n3", "base_url": third.base_url},
        ],
    )
    result = rlm.completion("c")
    assert result.response == str(["other", "root", "third"])
    assert set(result.usage.model_usage_summaries) == {"m", "n2", "n3"}


def test_an_unknown_model_is_an_error_that_lists_the_known(scripted: Any) -> None:
    result = scripted([answer("llm_query('x', model='nope')")]).completion("c")
    assert result.response == "Error: Unknown model 'nope'. Known models: 'm'."


def test_sampling_arguments_of_root_and_sub_calls_differ(scripted: Any) -> None:
    rlm = scripted(
        [answer("llm_query('x')")],
        sampling_args={"temperature": 0.1},
        sub_sampling_args={"temperature": 0.9},
    )
    rlm.completion("c")
    assert [r.body["temperature"] for r in scripted.server.requests] == [0.1, 0.9]


def test_a_prompt_longer_than_a_known_window_is_not_sent(scripted: Any) -> None:
    rlm = scripted(
        [answer("[llm_query('x' * 6_001), llm_query('y' * 5_999)]")],
        context_window={"m": 1000},
    )
    result = rlm.completion("c")
    refused, sent = eval(result.response)
    assert sent == "ok"
    assert refused.startswith("Error: ")
    assert "6,001 characters" in refused
    assert "1,000 tokens" in refused
    assert len(scripted.server.requests) == 2


def test_children_share_tools_prompt_and_record(scripted: Any) -> None:
    code = "rlm_query('child') if context == 'parent' else double(21)"
    logger = RLMLogger()
    rlm = scripted(
        lambda _: answer(code),
        max_depth=2,
        custom_system_prompt="You are odd: {braces} {custom_tools_section}",
        custom_tools={"double": lambda n: 2 * n},
        logger=logger,
    )
    result = rlm.completion("parent")
    assert result.response == "42"
    assert all(
        r.messages[0]["content"].startswith("You are odd: {braces}")
        for r in scripted.server.requests
    )
    (call,) = result.metadata["iterations"][0]["code_blocks"][0]["result"]["rlm_calls"]
    assert call["response"] == "42"
    assert call["metadata"]["iterations"]


def test_children_can_be_given_other_tools_or_none(scripted: Any) -> None:
    has = "('double' in globals(), 'half' in globals())"
    code = f"rlm_query('child') if context == 'parent' else {has}"
    tools: dict[str, Any] = {"double": lambda n: 2 * n}
    for sub_tools, expected in (
        ({}, (False, False)),
        (None, (True, False)),
        ({"half": lambda n: n / 2}, (False, True)),
    ):
        rlm = scripted(
            lambda _: answer(code),
            max_depth=2,
            custom_tools=tools,
            custom_sub_tools=sub_tools,
        )
        assert rlm.completion("parent").response == str(expected)


def test_many_nested_children_do_not_lock_each_other_out(scripted: Any) -> None:
    code = (
        "kids = rlm_query_batched([context + c for c in 'ab']) if len(context) < 3 else []\n"
        "answer['content'] = context + ''.join(kids); answer['ready'] = True"
    )
    rlm = scripted(lambda _: cell(code), max_depth=4, max_concurrent_subcalls=1)
    result = rlm.completion("")
    assert sorted(result.response) == sorted(
        "".join(
            [
                a + b + c
                for a in ("a", "b", "")
                for b in ("a", "b", "")
                for c in ("a", "b", "")
                if not ((not a and (b or c)) or (not b and c))
            ]
        )
    )
    assert result.trajectory.counts["children"] == 14


def test_thousands_of_sub_calls_of_one_cell_are_all_answered(scripted: Any) -> None:
    code = (
        "got = llm_query_batched([str(i) for i in range(2_000)])\n"
        "answer['content'] = got == [f'<{i}>' for i in range(2_000)]; answer['ready'] = True"
    )
    result = scripted([cell(code)], lambda prompt: f"<{prompt}>").completion("c")
    assert result.response == "True"
    assert result.usage.total_calls == 2_001


def test_threads_asyncio_and_top_level_await_may_all_call(scripted: Any) -> None:
    code = """
import asyncio
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    a = list(pool.map(llm_query, ["1", "2"]))
b = await allm_query("3")
async def many():
    return await asyncio.gather(allm_query("4"), allm_query("5"))
c = asyncio.run(many())
answer["content"], answer["ready"] = [*a, b, *c], True
"""
    result = scripted([cell(code)], lambda prompt: f"<{prompt}>").completion("c")
    assert result.response == str(["<1>", "<2>", "<3>", "<4>", "<5>"])


def test_runs_at_once_in_threads_do_not_mix(scripted: Any) -> None:
    def root(request: LMRequest) -> str:
        if request.turn == 1:
            return cell("mine = llm_query(context)\nmine")
        return answer("(context, mine)")

    rlm = scripted(root, lambda prompt: f"<{prompt}>", latency=0.01)
    results: dict[int, str] = {}
    at_once = 32 if scripted.environment == "local" else 12  # sandboxes, each booting

    def one(number: int) -> None:
        results[number] = rlm.completion(f"run {number}").response

    threads = [threading.Thread(target=one, args=(n,)) for n in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: str((f"run {n}", f"<run {n}>")) for n in range(at_once)}


def test_on_subcall_callbacks_are_called_for_children(scripted: Any) -> None:
    calls: list[Any] = []
    rlm = scripted(
        lambda _: answer("rlm_query('child prompt') if context == 'parent' else 1"),
        max_depth=2,
        on_subcall_start=lambda depth, model, preview: calls.append((depth, model, preview)),
        on_subcall_complete=lambda depth, _model, _seconds, error: calls.append((depth, error)),
    )
    rlm.completion("parent")
    assert calls == [(1, "m", "child prompt"), (1, None)]


@pytest.mark.parametrize("model", [None, "m"])
def test_a_child_may_be_asked_of_another_model(
    scripted: Any, server: Any, model: str | None
) -> None:
    other: StandInServer = server(script(lambda _: answer("'by other'")))
    call = "rlm_query('child')" if model is None else f"rlm_query('child', model={model!r})"
    rlm = scripted(
        lambda _: answer(f"{call} if context == 'parent' else 'by root'"),
        max_depth=2,
        other_backends=["openai"],
        other_backend_kwargs=[{"model_name": "o", "base_url": other.base_url}],
    )
    assert rlm.completion("parent").response == ("by other" if model is None else "by root")
