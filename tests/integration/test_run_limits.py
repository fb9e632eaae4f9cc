"""Limits on the whole tree, and ways to stop a run, over real kernels."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from rlm import (
    BackendError,
    BudgetExceededError,
    CancellationError,
    ErrorThresholdExceededError,
    RLMError,
    TimeoutExceededError,
    TokenLimitExceededError,
    UnknownCostError,
)
from rlm.demo.server import LMRequest, LMResponse


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


def answer(expression: str) -> str:
    return cell(f"answer['content'] = {expression}; answer['ready'] = True")


def costly(text: str, tokens: tuple[int, int] = (100, 50)) -> LMResponse:
    return LMResponse(text=text, usage=tokens)


def test_tokens_of_the_whole_tree_are_limited(scripted: Any) -> None:
    rlm = scripted(lambda _: costly(cell("1 + 1")), max_tokens=1000)
    with pytest.raises(TokenLimitExceededError) as caught:
        rlm.completion("c")
    error = caught.value
    assert error.token_limit == 1000
    assert 750 <= error.tokens_used <= 1000
    assert error.partial_answer == cell("1 + 1")
    assert len(error.trajectory.root.turns) >= 5
    assert error.trajectory.root.finished.status == "limit"
    assert error.trajectory.root.finished.error["type"] == "TokenLimitExceededError"


def test_a_budget_is_kept_with_prices_of_the_user(scripted: Any) -> None:
    rlm = scripted(
        lambda _: costly(cell("answer['content'] = 'a draft'")),
        max_budget=0.01,
        prices={"m": (10.0, 20.0)},
    )
    with pytest.raises(BudgetExceededError) as caught:
        rlm.completion("c")
    assert caught.value.budget == 0.01
    assert 0.006 < caught.value.spent <= 0.01
    assert caught.value.partial_answer == "a draft"


def test_costs_that_the_provider_reports_count(scripted: Any) -> None:
    rlm = scripted(
        lambda _: LMResponse(text=cell("1"), usage=(10, 10), cost=0.3),
        backend="openrouter",
        backend_kwargs={"api_key": "k"},
        max_budget=1.0,
    )
    with pytest.raises(BudgetExceededError) as caught:
        rlm.completion("c")
    assert caught.value.spent == pytest.approx(0.9)


def test_a_prompt_that_cannot_fit_is_not_sent(scripted: Any) -> None:
    rlm = scripted(lambda _: answer("1"), max_tokens=100)
    with pytest.raises(TokenLimitExceededError) as caught:
        rlm.completion("c")
    assert scripted.server.requests == []
    assert caught.value.tokens_used == 0


def test_a_prompt_that_might_fit_is_sent_and_counted_as_reported(scripted: Any) -> None:
    # By the first guess of four characters to a token this prompt would be too long.
    rlm = scripted([], lambda _: costly("fits", (10, 10)), max_tokens=60, max_depth=0)
    assert rlm.completion("x" * 300).trajectory.usage.total_input_tokens == 10


def test_a_fan_out_is_bounded_though_the_provider_counts_nothing(scripted: Any) -> None:
    code = cell("llm_query_batched(['y' * 4000] * 100)")
    rlm = scripted([code], lambda _: "ok", max_tokens=10_000)
    with pytest.raises(TokenLimitExceededError) as caught:
        rlm.completion("c")
    assert caught.value.tokens_used <= 10_000
    assert len(scripted.server.requests) < 12


def test_money_is_bounded_though_the_provider_counts_nothing(scripted: Any) -> None:
    code = cell("llm_query_batched(['y' * 4000] * 100)")
    rlm = scripted([code], lambda _: "ok", max_budget=0.01, prices={"m": (1.0, 1.0)})
    with pytest.raises(BudgetExceededError) as caught:
        rlm.completion("c")
    assert caught.value.spent <= 0.01
    assert len(scripted.server.requests) < 12


@pytest.mark.parametrize("where", ["root", "sub-call", "child", "plain"])
def test_a_budget_that_cannot_be_checked_ends_the_run(scripted: Any, where: str) -> None:
    def known(text: str) -> LMResponse:
        return LMResponse(text=text, usage=(10, 10), cost=0.001)

    unknown = LMResponse(text="no word on the cost", usage=(10, 10))
    code = {"sub-call": "llm_query('x')", "child": "rlm_query('x')"}.get(where, "1")
    replies = [known(cell(f"print({code}); llm_query('y')")), unknown]
    rlm = scripted(
        replies if where in ("root", "child") else [*replies[:1], known(answer("'late'"))],
        lambda _: unknown if where in ("sub-call", "plain") else known("ok"),
        backend="openrouter",
        backend_kwargs={"api_key": "k"},
        max_budget=1.0,
        max_depth=0 if where == "plain" else 2,
    )
    with pytest.raises(UnknownCostError, match=r"'m'.*prices=\{'m'") as caught:
        rlm.completion("c")
    root = caught.value.trajectory.root
    assert root.finished.status == "error"
    assert root.finished.error["type"] == "UnknownCostError"
    assert root.usage.total_output_tokens >= 10


def test_a_limit_that_is_crossed_is_noted_once(scripted: Any) -> None:
    code = cell("[rlm_query('child') for _ in range(9)]")
    rlm = scripted(lambda _: costly(code), max_depth=3, max_tokens=2000)
    with pytest.raises(TokenLimitExceededError) as caught:
        rlm.completion("c")
    trajectory = caught.value.trajectory
    notes = [e for e in trajectory.events if e.type == "note" and e.kind == "limit"]
    (note,) = notes
    assert note in trajectory.root.notes
    assert note.text == str(caught.value)
    assert note.data["token_limit"] == 2000


def test_a_fan_out_that_cannot_be_afforded_is_not_sent(scripted: Any) -> None:
    code = cell("llm_query('x')\nllm_query_batched(['y'] * 500)")
    rlm = scripted([costly(code)], lambda _: costly("ok"), max_tokens=1500)
    with pytest.raises(TokenLimitExceededError) as caught:
        rlm.completion("c")
    assert len(scripted.server.requests) == 2
    assert caught.value.tokens_used == 300


def test_a_limit_crossed_in_a_cell_ends_it_and_the_run(scripted: Any) -> None:
    code = cell("import time\nprint('begun')\nwhile True: llm_query('x')")
    rlm = scripted([costly(code)], lambda _: costly("ok"), max_tokens=1000)
    with pytest.raises(TokenLimitExceededError) as caught:
        rlm.completion("c")
    (recorded,) = caught.value.trajectory.root.turns[0].cells
    assert recorded.finished.status == "interrupted"
    assert recorded.sub_calls


def test_children_spend_their_parents_limits(scripted: Any) -> None:
    def root(request: LMRequest) -> LMResponse:
        return costly(cell("[rlm_query('child') for _ in range(9)]" if request.turn == 1 else "1"))

    rlm = scripted(root, max_depth=2, max_tokens=1200)
    with pytest.raises(TokenLimitExceededError) as caught:
        rlm.completion("parent")
    root_run = caught.value.trajectory.root
    assert root_run.children
    assert root_run.usage.total_input_tokens + root_run.usage.total_output_tokens <= 1200
    assert all(run.finished is not None for run in root_run.walk())


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "llm_query('slow')",
        "import asyncio; await asyncio.sleep(60)",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    ],
)
def test_time_bounds_cells_and_the_calls_in_them(scripted: Any, code: str) -> None:
    rlm = scripted([cell(code)], lambda _: LMResponse(text="late", delay=60), max_timeout=0.8)
    began = time.monotonic()
    with pytest.raises(TimeoutExceededError) as caught:
        rlm.completion("c")
    assert time.monotonic() - began < 40  # not the 60 of the cell or the call
    assert caught.value.timeout == 0.8
    assert caught.value.elapsed >= 0.8
    assert caught.value.trajectory.root.finished.status == "limit"


def test_time_bounds_a_turn_of_the_root(scripted: Any) -> None:
    rlm = scripted([LMResponse(text="late", delay=60)], max_timeout=0.8)
    with pytest.raises(TimeoutExceededError):
        rlm.completion("c")


def test_failing_turns_in_a_row_are_limited(scripted: Any) -> None:
    replies = [cell("1/0"), cell("1"), cell("1/0"), cell("nothing")]
    rlm = scripted(replies, max_errors=2)
    with pytest.raises(ErrorThresholdExceededError) as caught:
        rlm.completion("c")
    assert caught.value.error_count == caught.value.threshold == 2
    assert "NameError" in caught.value.last_error
    assert len(caught.value.trajectory.root.turns) == 4


def test_a_provider_that_fails_ends_the_run_with_the_record_so_far(scripted: Any) -> None:
    rlm = scripted([cell("1"), LMResponse(status=400, text="no such thing")])
    with pytest.raises(BackendError) as caught:
        rlm.completion("c")
    assert caught.value.status == 400
    assert len(caught.value.trajectory.root.turns) == 2
    assert caught.value.partial_answer == cell("1")
    assert caught.value.trajectory.root.finished.status == "error"


def test_a_retry_is_noted_and_the_run_goes_on(scripted: Any) -> None:
    first = LMResponse(status=503, text="busy", headers={"retry-after": "0"})
    result = scripted([first, answer("'done'")]).completion("c")
    assert result.response == "done"
    notes = result.trajectory.root.turns[0].notes
    assert [note.kind for note in notes] == ["retry"]


@pytest.mark.parametrize("where", ["cell", "call"])
def test_ctrl_c_stops_the_run_at_once(scripted: Any, where: str) -> None:
    replies = [cell("answer['content'] = 'so far'"), cell("while True: pass")]
    if where == "call":
        replies = [replies[0], LMResponse(text="late", delay=60)]
    began = threading.Event()
    seen: list[float] = []
    starts: list[Any] = []

    class Watch:
        def on_event(self, event: Any) -> None:
            if event.type == ("cell_started" if where == "cell" else "turn_started"):
                starts.append(event)
                if len(starts) == 2:  # the one that never ends
                    began.set()

    rlm = scripted(replies, logger=Watch())

    def interrupt() -> None:
        began.wait(60)
        time.sleep(0.3)
        seen.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(CancellationError) as caught:
        rlm.completion("c")
    took = time.monotonic() - seen[0]
    thread.join()
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.partial_answer == "so far"
    assert caught.value.trajectory.root.finished.status == "cancelled"
    assert took < 40  # not the 60 of the call; one second on a machine of its own


async def test_cancelling_the_task_cancels_the_run(scripted: Any) -> None:
    running = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Watch:
        def on_event(self, event: Any) -> None:
            if event.type == "cell_started":
                loop.call_soon_threadsafe(running.set)

    rlm = scripted(lambda _: cell("while True: pass"), logger=Watch())
    task = asyncio.create_task(rlm.acompletion("c"))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    record = vars(caught.value)
    assert record["partial_answer"] == cell("while True: pass")
    assert record["trajectory"].root.finished.status == "cancelled"


def test_ctrl_c_under_asyncio_run_leaves_the_record_on_the_cancellation(scripted: Any) -> None:
    class Stop:
        def on_event(self, event: Any) -> None:
            if event.type == "cell_started":
                os.kill(os.getpid(), signal.SIGINT)

    rlm = scripted(lambda _: cell("while True: pass"), logger=Stop())
    with pytest.raises(KeyboardInterrupt) as caught:
        asyncio.run(rlm.acompletion("c"))
    cancelled = caught.value.__context__
    assert isinstance(cancelled, asyncio.CancelledError)
    assert vars(cancelled)["trajectory"].root.finished.status == "cancelled"


async def test_asyncio_timeout_works_on_a_completion(scripted: Any) -> None:
    rlm = scripted(lambda _: cell("while True: pass"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await rlm.acompletion("c")


def test_cancelled_children_end_before_their_parent(scripted: Any) -> None:
    def root(request: LMRequest) -> str:
        return cell(
            "rlm_query('child')" if "6 characters" in str(request.messages) else "while 1: 0"
        )

    rlm = scripted(root, max_depth=2, max_timeout=2.0)
    with pytest.raises(TimeoutExceededError) as caught:
        rlm.completion("parent")
    events = caught.value.trajectory.events
    assert [e.type for e in events[-1:]] == ["run_finished"]
    assert events[-1].parent_id is None
    assert all(run.finished is not None for run in caught.value.trajectory.root.walk())


def test_errors_are_rlm_errors(scripted: Any) -> None:
    rlm = scripted([LMResponse(raw=b"not json")])
    with pytest.raises(RLMError):
        rlm.completion("c")


def test_a_script_that_forgets_to_close_still_ends(scripted: Any) -> None:
    scripted(lambda _: answer("'done'"))
    code = (
        "from rlm import RLM\n"
        f"rlm = RLM(backend_kwargs={{'model_name': 'm', 'base_url': {scripted.server.base_url!r}}},"
        " persistent=True)\n"
        "print(rlm.completion('c').response)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "done\n"
    assert done.stderr == ""


def test_a_forked_child_has_an_engine_of_its_own(scripted: Any) -> None:
    scripted(lambda _: answer("context"))
    code = (
        "import os\nfrom rlm import RLM\n"
        f"kwargs = {{'model_name': 'm', 'base_url': {scripted.server.base_url!r}}}\n"
        "rlm = RLM(backend_kwargs=kwargs)\n"
        "print(rlm.completion('a').response, flush=True)\n"
        "pid = os.fork()\n"
        "if pid: assert os.waitpid(pid, 0)[1] == 0\n"
        "print(rlm.completion('b').response, flush=True)\n"
        "if pid: rlm.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "a\nb\nb\n", done.stderr
