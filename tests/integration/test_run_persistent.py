"""Kernels that live on between completions, and conversations that grow too long."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from rlm import CancellationError, ContextWindowError
from rlm.demo.server import LMRequest, LMResponse

if TYPE_CHECKING:
    from types import FrameType


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


def answer(expression: str) -> str:
    return cell(f"answer['content'] = {expression}; answer['ready'] = True")


def test_contexts_histories_and_variables_add_up(scripted: Any) -> None:
    rlm = scripted(
        [
            cell("kept = 'variable'") + "\n" + answer("1"),
            answer("(kept, context, context_0, context_1, len(history), history is history_0)"),
            answer("(context, context_2, history_1[-1]['role'])"),
        ],
        persistent=True,
    )
    assert rlm.completion("first").response == "1"
    assert rlm.completion("second").response == str(
        ("variable", "first", "first", "second", 4, True)
    )
    assert rlm.completion("third").response == str(("first", "third", "assistant"))
    last = scripted.server.requests[-1].prompt
    assert "3 contexts, context_0 to context_2" in last
    assert "2 earlier conversations, history_0 to history_1" in last


def test_completions_of_one_persistent_rlm_wait_for_each_other(scripted: Any) -> None:
    rlm = scripted(
        lambda _: cell("n = globals().get('n', 0) + 1\nanswer = {'content': n, 'ready': True}"),
        persistent=True,
    )
    got: list[str] = []
    threads = [
        threading.Thread(target=lambda: got.append(rlm.completion("c").response)) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == ["1", "2", "3", "4", "5"]


def test_first_completions_from_many_threads_share_one_kernel(scripted: Any) -> None:
    rlm = scripted(lambda _: answer("__import__('os').getpid()"), persistent=True)
    ready = threading.Barrier(4)
    kernels: list[str] = []

    def ask() -> None:
        ready.wait()
        kernels.append(rlm.completion("c").response)

    def linger(frame: FrameType, event: str, _: object) -> None:
        # Let the other threads come as far as where the first makes what all are to share.
        if event == "call" and frame.f_code.co_qualname == "Resources.__init__":
            time.sleep(0.05)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    threading.setprofile(linger)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.setprofile(None)
    assert len(kernels) == 4
    assert len(set(kernels)) == 1


def test_an_old_answer_is_not_the_next_completions(scripted: Any) -> None:
    rlm = scripted([answer("'old'"), cell("1 + 1"), answer("'new'")], persistent=True)
    assert rlm.completion("a").response == "old"
    assert rlm.completion("b").response == "new"


def test_a_stopped_run_leaves_its_kernel_usable(scripted: Any) -> None:
    endless = threading.Event()

    class Watch:
        def on_event(self, event: Any) -> None:
            if event.type == "cell_started" and "while True" in event.code:
                endless.set()

    rlm = scripted(
        [cell("kept = 1"), cell("while True: pass"), answer("(kept, context_1)")],
        persistent=True,
        logger=Watch(),
    )
    stopped = rlm.start("a")
    assert endless.wait(60)
    stopped.stop()
    with pytest.raises(CancellationError):
        stopped.result()
    assert rlm.completion("b").response == "(1, 'b')"


def test_a_dead_persistent_kernel_comes_back_with_its_contexts(scripted: Any) -> None:
    rlm = scripted(
        [
            answer("1"),
            cell("import os; os._exit(1)"),
            answer("(context_0, context_1, len(history_0))"),
        ],
        persistent=True,
    )
    rlm.completion("a")
    assert rlm.completion("b").response == "('a', 'b', 4)"


@pytest.mark.parametrize("request_type", ["rlm_assign_request", "rlm_attach_request"])
def test_a_kernel_that_dies_once_it_has_answered_is_replaced(
    scripted: Any, request_type: str
) -> None:
    """It dies of what it hears next: its own run's history, or the context of the next one."""
    code = (
        "import os\n"
        f"get_ipython().kernel.shell_handlers[{request_type!r}] = lambda *_: os._exit(1)\n"
        "answer['content'], answer['ready'] = 1, True"
    )
    rlm = scripted([cell(code), answer("(context_0, context_1, len(history_0))")], persistent=True)
    assert rlm.completion("a").response == "1"
    assert rlm.completion("b").response == "('a', 'b', 4)"
    assert "variables made there" in scripted.server.requests[-1].prompt


def test_a_kernel_that_dies_of_its_history_is_replaced_too(scripted: Any) -> None:
    code = (
        "import os\n"
        "get_ipython().kernel.shell_handlers['rlm_assign_request'] = lambda *_: os._exit(1)"
    )
    rlm = scripted([cell(code), cell("1"), answer("len(history)")], compaction=True)
    assert rlm.completion("c").response == "6"
    assert "all your variables are gone" in scripted.shown(2)


def test_children_of_a_persistent_run_have_separate_kernels(scripted: Any) -> None:
    rlm = scripted(
        lambda _: cell(
            "mine = context\n"
            "here = (context, 'context_1' in globals())\n"
            "r = rlm_query('child') if context == 'parent' else here\n"
            "answer['content'], answer['ready'] = r, True"
        ),
        persistent=True,
        max_depth=2,
    )
    assert rlm.completion("parent").response == "('child', False)"


def compacting(request: LMRequest) -> str | LMResponse:
    """A model that fills its window, sums up when asked to, and then answers."""
    if "replaced by a summary" in request.prompt:
        return "SUMMARY: the number is 7"
    if any("SUMMARY" in str(m["content"]) for m in request.messages):
        return answer("[type(entry).__name__ for entry in history][:2], len(history) > 3")
    return cell("print('filler ' * 2000)")


def test_a_long_conversation_is_summed_up(scripted: Any) -> None:
    rlm = scripted(compacting, compaction=True, context_window={"m": 10_000})
    result = rlm.completion("c", root_prompt="q")
    assert result.response == "(['dict', 'dict'], True)"
    last = scripted.server.requests[-1].messages
    assert [m["role"] for m in last[:4]] == ["system", "user", "assistant", "user"]
    assert last[2]["content"] == "SUMMARY: the number is 7"
    assert "replaced by your summary" in last[3]["content"]
    assert len(json.dumps(last)) < 20_000
    replies = [r.purpose for turn in result.trajectory.root.turns for r in turn.replies]
    assert replies.count("compaction") == 1
    assert result.usage.total_calls == len(scripted.server.requests)
    assert result.trajectory.root.turns[-1].messages == last


def test_a_window_that_only_the_provider_knows_is_respected_too(scripted: Any) -> None:
    too_long = LMResponse(
        status=400,
        text="This model's maximum context length is 9 tokens.",
        error_code="context_length_exceeded",
    )

    def root(request: LMRequest) -> str | LMResponse:
        if len(json.dumps(request.messages)) > 40_000:
            return too_long
        return compacting(request)

    rlm = scripted(root, compaction=True)
    assert rlm.completion("c", root_prompt="q").response == "(['dict', 'dict'], True)"
    with pytest.raises(ContextWindowError):
        scripted(root).completion("c")
