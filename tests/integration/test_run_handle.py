"""Runs in the background: started, watched, awaited, stopped."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from rlm import RLM, ArgumentError, BudgetExceededError, CancellationError
from rlm.core.loop import engine_loop
from rlm.demo.server import LMRequest, script

ANSWER = "```repl\nanswer['content'] = context\nanswer['ready'] = True\n```"


@pytest.fixture
def environment() -> str:
    """What a handle does is the same wherever kernels run."""
    return "local"


class Reader:
    def __init__(self) -> None:
        self.events: list[Any] = []
        self.over = threading.Event()

    def on_event(self, event: Any) -> None:
        self.events.append(event)
        if event.type == "run_finished":
            self.over.set()


class Gate:
    """A model that answers when it is let."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.open = threading.Event()

    def __call__(self, _: LMRequest) -> str:
        self.asked.set()
        assert self.open.wait(30)
        return ANSWER


def test_a_run_goes_on_while_its_starter_does_something_else(scripted: Any) -> None:
    gate = Gate()
    handle = scripted(gate).start("the text", "What is it?")
    assert gate.asked.wait(30)
    assert not handle.done
    assert handle.answer is handle.error is None
    assert "running" in repr(handle)
    assert handle.trajectory.root.started.root_prompt == "What is it?"
    with pytest.raises(TimeoutError, match="it goes on"):
        handle.result(timeout=0)
    gate.open.set()
    result = handle.result()
    assert result.answer == handle.answer == "the text"
    assert handle.done
    assert result.trajectory is handle.trajectory
    assert handle.usage.total_calls == 1
    assert handle.error is None
    assert "answered" in repr(handle)
    assert handle.result() is result


async def test_a_run_can_be_awaited_by_several_tasks(scripted: Any) -> None:
    handle = scripted([ANSWER]).start("text")
    first, second = await asyncio.gather(handle, asyncio.ensure_future(_wait(handle)))
    assert first is second
    assert (await handle).answer == "text"


async def _wait(handle: Any) -> Any:
    return await handle


async def test_a_waiting_task_that_is_cancelled_leaves_the_run_alone(scripted: Any) -> None:
    gate = Gate()
    handle = scripted(gate).start("text")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_wait(handle), 0.01)
    gate.open.set()
    assert (await handle).answer == "text"


def test_a_stopped_run_ends_with_its_record(scripted: Any) -> None:
    handle = scripted(["```repl\nx = 1\nwhile True: pass\n```"]).start("text")
    started = Started()
    handle.add_reader(started)
    assert started.cell.wait(30)
    handle.stop()
    assert handle.wait(30)
    with pytest.raises(CancellationError) as caught:
        handle.result()
    assert caught.value is handle.error
    assert caught.value.trajectory is handle.trajectory
    assert handle.trajectory.root.finished.status == "cancelled"
    assert handle.trajectory.root.cells[0].finished.status == "interrupted"
    assert "cancelled" in repr(handle)
    handle.stop()
    assert handle.error is caught.value


class Started:
    def __init__(self) -> None:
        self.cell = threading.Event()

    def on_event(self, event: Any) -> None:
        if event.type == "cell_started":
            self.cell.set()


def test_a_failed_run_raises_where_it_is_waited_for(scripted: Any) -> None:
    rlm = scripted([ANSWER], max_budget=0.000001, prices={"m": (100.0, 100.0)})
    handle = rlm.start("text")
    assert handle.wait(30)
    assert isinstance(handle.error, BudgetExceededError)
    with pytest.raises(BudgetExceededError):
        handle.result()


def test_a_reader_added_late_gets_every_event_once(scripted: Any) -> None:
    gate = Gate()
    handle = scripted(gate).start("text")
    early, late, after = Reader(), Reader(), Reader()
    handle.add_reader(early)
    assert gate.asked.wait(30)
    handle.add_reader(late)
    handle.add_reader(late)
    gate.open.set()
    handle.result()
    handle.add_reader(after)
    for reader in (early, late, after):
        assert reader.over.wait(30)
        assert tuple(reader.events) == handle.trajectory.events


def test_a_reader_added_while_the_run_ends_gets_every_event(scripted: Any) -> None:
    handle = scripted([ANSWER]).start("text")
    reader, held, added = Reader(), threading.Event(), threading.Event()

    def hold() -> None:
        """Hold the engine's loop once the run is over and before its handle hears of it."""
        if handle._job._task is None or not handle._job._task.done():
            engine_loop().call(hold)
            return
        held.set()
        added.wait(30)

    engine_loop().call(hold)
    assert held.wait(30)
    assert not handle.done
    handle.add_reader(reader)
    added.set()
    assert reader.over.wait(30)
    assert tuple(reader.events) == handle.trajectory.events


def test_a_removed_reader_gets_no_more_events(scripted: Any) -> None:
    gate = Gate()
    handle = scripted(gate).start("text")
    gone, stays = Reader(), Reader()
    handle.add_reader(gone)
    handle.add_reader(stays)
    assert gate.asked.wait(30)
    handle.remove_reader(gone)
    handle.remove_reader(object())
    gate.open.set()
    assert stays.over.wait(30)
    assert not any(event.type == "run_finished" for event in gone.events)


def test_an_object_that_is_no_reader_is_refused(scripted: Any) -> None:
    handle = scripted([ANSWER]).start("text")
    with pytest.raises(ArgumentError, match="on_event"):
        handle.add_reader(print)
    handle.result()


def test_a_callback_is_called_even_when_added_after_the_run(scripted: Any) -> None:
    handle = scripted([ANSWER]).start("text")
    called: list[Any] = []
    over = threading.Event()
    handle.add_done_callback(lambda run: (called.append(run), over.set()))
    assert over.wait(30)
    handle.add_done_callback(called.append)
    assert called == [handle, handle]


def test_a_run_goes_on_without_references_to_its_handle_or_rlm(server: Any) -> None:
    gate = Gate()
    model = server(script(gate))
    reader = Reader()
    RLM(backend_kwargs={"model_name": "m", "base_url": model.base_url}, logger=reader).start("text")
    assert gate.asked.wait(30)
    gc.collect()
    gate.open.set()
    assert reader.over.wait(30)
    assert reader.events[-1].status == "answered"


def test_closing_the_rlm_ends_its_background_runs(scripted: Any) -> None:
    rlm = scripted(["```repl\nwhile True: pass\n```"])
    handle = rlm.start("text")
    started = Started()
    handle.add_reader(started)
    assert started.cell.wait(30)
    rlm.close()
    assert handle.done
    assert "closed while the run went on" in str(handle.error)


def test_a_run_that_is_stopped_before_it_starts_says_so(scripted: Any) -> None:
    rlm, gate = scripted([ANSWER]), threading.Event()
    engine_loop().call(gate.wait)
    handle = rlm.start("text")
    handle.stop()
    gate.set()
    assert handle.wait(30)
    assert isinstance(handle.error, CancellationError)
    assert repr(handle)
    gc.collect()  # A coroutine that was never awaited fails this test, not the next one.


def test_the_log_is_on_the_result_as_with_completion(scripted: Any) -> None:
    from rlm import RLMLogger

    handle = scripted([ANSWER], logger=RLMLogger()).start("text")
    assert handle.result().metadata["iterations"][0]["final_answer"] == "text"


def test_end_callbacks_finish_before_the_run_is_done(scripted: Any) -> None:
    begun, gate, seen = threading.Event(), threading.Event(), []

    async def at_end(outcome: Any) -> None:
        begun.set()
        await asyncio.to_thread(gate.wait, 30)
        seen.append(outcome)

    handle = scripted([ANSWER]).start("text", at_end=at_end)
    assert begun.wait(30)
    assert handle.trajectory.root.finished is not None
    assert not handle.done
    handle.stop()  # It is over, with an answer that is paid for.
    gate.set()
    assert handle.result().answer == "text"
    assert seen == [handle.result()]


def test_a_failing_end_callback_does_not_lose_the_answer(scripted: Any, caplog: Any) -> None:
    async def at_end(_: Any) -> None:
        raise OSError("no space left")

    assert scripted([ANSWER]).start("text", at_end=at_end).result().answer == "text"
    assert "At the end of a run: OSError: no space left" in caplog.text


def test_end_callbacks_are_called_for_failed_runs_too(scripted: Any) -> None:
    seen = []

    async def at_end(outcome: Any) -> None:
        seen.append(outcome)

    gate = Gate()
    handle = scripted(gate).start("text", at_end=at_end)
    assert gate.asked.wait(30)
    handle.stop()
    gate.open.set()
    with pytest.raises(CancellationError) as caught:
        handle.result()
    assert seen == [caught.value]
