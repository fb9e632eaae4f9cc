"""A run that is played again from its log: same replies, real kernels, no model."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rlm import (
    RLM,
    ArgumentError,
    BackendError,
    BudgetExceededError,
    ConfigurationError,
    ContextMismatchError,
    ErrorThresholdExceededError,
    ReplayMissError,
    ReplayWarning,
    RLMError,
    TimeoutExceededError,
    Trajectory,
)
from rlm.demo.server import LMRequest, LMResponse
from rlm.events import Event, Note, RunFinished

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import ScriptedRLM

    from rlm.core.types import RLMChatCompletion


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


def answer(expression: str) -> str:
    return cell(f"answer['content'] = {expression}; answer['ready'] = True")


def numbered() -> Callable[[str], str]:
    """Reply to every call with another text."""
    numbers = itertools.count(1)
    lock = threading.Lock()

    def sub(prompt: str) -> str:
        with lock:
            return f"{prompt} is reply {next(numbers)}"

    return sub


@pytest.fixture
def reopened(scripted: ScriptedRLM, tmp_path: Path) -> Callable[..., RLM]:
    """Save a run and open it again, with the server closed: nothing can be asked any more."""

    def reopen(recorded: RLMChatCompletion | RLMError | Trajectory, **options: Any) -> RLM:
        trajectory = recorded if isinstance(recorded, Trajectory) else recorded.trajectory
        assert trajectory is not None
        path = trajectory.save(tmp_path / f"{len(list(tmp_path.iterdir()))}.json")
        if options.get("replay", True) and options.get("on_miss") != "live":
            scripted.server.close()
        return scripted.running.enter_context(
            RLM.from_notebook(path, **{"replay": True, **options})
        )

    return reopen


def notes(trajectory: Trajectory | None, kind: str) -> list[Note]:
    assert trajectory is not None
    return [e for e in trajectory.events if isinstance(e, Note) and e.kind == kind]


def cut(trajectory: Trajectory, last: Callable[[Event], bool]) -> Trajectory:
    """Return the record of a run that was killed right after an event."""
    kept: list[Event] = []
    for event in trajectory.events:
        kept.append(event)
        if last(event):
            break
    return Trajectory.from_events(kept)


def out_of_time(trajectory: Trajectory) -> Trajectory:
    """Return the record of a run whose time was up after that."""
    run = trajectory.root.started
    ids = {"id": run.id, "parent_id": None, "run_id": run.id, "time": run.time + 1.7}
    text = "Timeout exceeded: 1.7 s of 1.5 s."
    figures = {"elapsed": 1.7, "timeout": 1.5}
    note_ids = {**ids, "id": "a-note", "parent_id": run.id}
    error = {"type": "TimeoutExceededError", "message": text}
    usage = trajectory.usage.to_dict()
    return Trajectory.from_events(
        [
            *trajectory.events,
            Note(**note_ids, kind="limit", text=text, data=figures),
            RunFinished(**ids, status="limit", answer=None, error=error, usage=usage, duration=1.7),
        ]
    )


def test_a_replay_calls_no_model_and_is_the_same_run(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    root = [
        cell("print(len(context))\nreplies = llm_query_batched([f'p{i % 3}' for i in range(9)])"),
        cell("print(sorted(replies))\n1 / 0"),
        answer("replies[0] + context"),
    ]
    rlm = scripted(root, numbered(), prices={"m": (1.0, 2.0)})
    recorded = rlm.completion("a context", root_prompt="What is it?")
    replayed = reopened(recorded).completion()
    assert replayed.response == recorded.response
    assert replayed.prompt == "a context"
    assert replayed.usage.to_dict() == recorded.usage.to_dict()
    same = recorded.trajectory.same_as(replayed.trajectory)
    assert same, str(same)
    again = reopened(replayed).completion()
    assert again.trajectory.same_as(replayed.trajectory)


def test_grandchildren_are_replayed_in_separate_kernels(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    def root(request: LMRequest) -> str:
        if request.turn == 1 and "of 4 characters" in str(request.messages):
            return cell("print(rlm_query_batched([context + 'x', context + 'x', 'other']))")
        if "of 4 characters" in str(request.messages):
            return answer("'root'")
        return answer("llm_query('leaf of ' + context) + context")

    rlm = scripted(root, numbered(), max_depth=3)
    recorded = rlm.completion("root")
    replayed = reopened(recorded).completion()
    assert len(replayed.trajectory.root.children) == 3
    same = recorded.trajectory.same_as(replayed.trajectory)
    assert same, str(same)


def test_equal_calls_get_their_replies_in_order_and_threads_get_theirs(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "inorder = [llm_query('same') for _ in range(5)]\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    spread = list(pool.map(llm_query, [f'q{i}' for i in range(40)]))\n"
        "import asyncio\n"
        "tasks = await asyncio.gather(*(allm_query(f't{i}') for i in range(20)))\n"
        "answer['content'] = str([inorder, spread, tasks]); answer['ready'] = True"
    )
    recorded = scripted([cell(code)], numbered()).completion("c")
    replayed = reopened(recorded).completion()
    assert replayed.response == recorded.response
    assert recorded.trajectory.same_as(replayed.trajectory)


def test_failed_calls_fail_again_and_unknown_models_too(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    def sub(prompt: str) -> LMResponse:
        return LMResponse(status=400, text="refused") if prompt == "bad" else LMResponse(text="ok")

    code = "print(llm_query('bad'), llm_query('good'), llm_query('x', model='nope'))"
    recorded = scripted([cell(code), answer("'done'")], sub).completion("c")
    replayed = reopened(recorded).completion()
    same = recorded.trajectory.same_as(replayed.trajectory)
    assert same, str(same)
    assert "refused" in str(replayed.trajectory.root.cells[0].outputs)


def test_tools_are_not_called_again(scripted: ScriptedRLM, reopened: Callable[..., RLM]) -> None:
    called = []

    def find(word: str) -> list[str]:
        called.append(word)
        if word == "bad":
            raise ValueError("no such word")
        return [word, f"call {len(called)}"]

    code = "try:\n    find('bad')\nexcept ToolError as error:\n    print(error)\nprint(find('a'))"
    rlm = scripted([cell(code), answer("str(limit)")], custom_tools={"find": find, "limit": 7})
    recorded = rlm.completion("c")
    assert len(called) == 2
    with pytest.raises(ConfigurationError, match="limit"):
        reopened(recorded)
    replayed = reopened(recorded, custom_tools={"limit": 7}).completion()
    assert len(called) == 2
    assert replayed.response == "7"
    same = recorded.trajectory.same_as(replayed.trajectory)
    assert same, str(same)


def test_the_forced_answer_and_a_compaction_are_replayed(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    def root(request: LMRequest) -> str:
        last = str(request.messages[-1]["content"])
        if "replaced by a summary" in last:
            return "I have looked."
        if "used all your turns" in last:
            return "The last words."
        return cell(f"print('x' * 4000, {request.turn})")

    rlm = scripted(root, max_iterations=4, compaction=True, context_window={"m": 4000})
    recorded = rlm.completion("c")
    assert notes(recorded.trajectory, "compaction")
    replayed = reopened(recorded).completion()
    assert replayed.response == "The last words."
    same = recorded.trajectory.same_as(replayed.trajectory)
    assert same, str(same)


def test_persistent_completions_are_replayed_one_after_the_other(
    scripted: ScriptedRLM, tmp_path: Path
) -> None:
    rlm = scripted(
        [cell("kept = llm_query(context)"), answer("kept"), answer("kept + context_1")],
        numbered(),
        persistent=True,
    )
    first, second = rlm.completion("one"), rlm.completion("two")
    paths = [first.save(tmp_path / "1.json"), second.save(tmp_path / "2.json")]
    scripted.server.close()
    with RLM.from_notebook(paths, replay=True) as again:
        assert again.completion().trajectory.same_as(first.trajectory)
        assert again.completion().trajectory.same_as(second.trajectory)
        with pytest.raises(ConfigurationError, match="has replayed all"):
            again.completion()


def test_a_failed_run_fails_again(scripted: ScriptedRLM, reopened: Callable[..., RLM]) -> None:
    replies = [cell("print(1)"), LMResponse(status=401, text="bad key")]
    with pytest.raises(BackendError) as recorded:
        scripted(replies).completion("c")
    with pytest.raises(BackendError) as replayed:
        reopened(recorded.value).completion()
    same = recorded.value.trajectory.same_as(replayed.value.trajectory)
    assert same, str(same)


def test_limits_end_the_replay_as_they_ended_the_run(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    rlm = scripted(lambda _: cell("1 / 0"), max_errors=2)
    with pytest.raises(ErrorThresholdExceededError) as recorded:
        rlm.completion("c")
    with pytest.raises(ErrorThresholdExceededError) as replayed:
        reopened(recorded.value).completion()
    same = recorded.value.trajectory.same_as(replayed.value.trajectory)
    assert same, str(same)


def test_a_budget_that_was_spent_is_spent_again(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    root = [cell("for i in range(100):\n    llm_query(f'{i}' * 100)")]
    rlm = scripted(root, max_budget=0.02, prices={"m": (10.0, 10.0)})
    with pytest.raises(BudgetExceededError) as recorded:
        rlm.completion("c")
    with pytest.raises(BudgetExceededError) as replayed:
        reopened(recorded.value).completion()
    assert replayed.value.trajectory.usage.total_cost == pytest.approx(
        recorded.value.trajectory.usage.total_cost
    )


def test_a_run_that_ran_out_of_time_does_so_in_a_fast_replay_too(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    recorded = scripted([cell("print(1)"), answer("1")], max_timeout=600).completion("c")
    ended = out_of_time(cut(recorded.trajectory, lambda e: e.type == "turn_finished"))
    with pytest.raises(TimeoutExceededError, match=r"exceeded: 1\.7 s of 1\.5 s") as replayed:
        reopened(ended).completion()
    assert replayed.value.trajectory.root.finished.status == "limit"
    assert replayed.value.timeout == 1.5


def test_a_call_that_its_cell_gave_up_is_given_up_again(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    code = (
        "import asyncio\n"
        "try:\n    await asyncio.wait_for(allm_query('slow'), 1)\n"
        "except TimeoutError:\n    print('given up')"
    )
    root: list[Any] = [cell(code), answer("'done'")]
    rlm = scripted(root, lambda _: LMResponse(text="late", delay=60))
    recorded = rlm.completion("c")
    assert len(recorded.trajectory.root.sub_calls) == 1
    replayed = reopened(recorded).completion()
    same = recorded.trajectory.same_as(replayed.trajectory)
    assert same, str(same)


def test_a_miss_says_what_differs_and_ends_the_run(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    code = "import os\nprint(llm_query(f'The text is long; its part is {os.urandom(4).hex()}.'))"
    recorded = scripted([cell(code + "\nprint(os.urandom(4))"), answer("'done'")]).completion("c")
    with pytest.raises(ReplayMissError) as miss:
        reopened(recorded).completion()
    text = str(miss.value)
    assert text.startswith("Turn 1, cell 1: llm_query is not in the log")
    assert "recorded:" in text
    assert "asked:" in text
    assert "on_miss='live'" in text
    assert miss.value.trajectory.root.finished.status == "error"
    with pytest.warns(ReplayWarning, match="Turn 1, cell 1"):
        near = reopened(recorded, on_miss="nearest").completion()
    assert near.response == "done"


def test_asking_more_often_than_recorded_is_a_miss(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    recorded = scripted([cell("[llm_query('same') for _ in range(3)]"), answer("'done'")])
    events = recorded.completion("c").trajectory.events
    *_, last = (event.id for event in events if event.type == "sub_call_started")
    shorter = Trajectory.from_events(event for event in events if event.id != last)
    with pytest.raises(ReplayMissError, match="the log has this call 2 times, and no more often"):
        reopened(shorter).completion()


def test_different_output_is_noted_with_a_warning_and_the_replay_goes_on(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    code = "import os\nprint('same')\nprint(os.urandom(4).hex())\nprint(object())"
    recorded = scripted([cell(code), answer("'done'")]).completion("c")
    with pytest.warns(ReplayWarning, match="Turn 1, cell 1 gave other output than recorded"):
        replayed = reopened(recorded).completion()
    assert replayed.response == "done"
    (note,) = notes(replayed.trajectory, "warning")
    assert note.data["replay"] == "output"
    assert "line 2" in note.text


def test_an_object_address_does_not_count_as_different_output(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    code = "print(object())\nllm_query(f'What is {object()}?')\nobject()"
    recorded = scripted([cell(code), answer("'done'")]).completion("c")
    replayed = reopened(recorded).completion()
    assert recorded.trajectory.same_as(replayed.trajectory)


def test_a_call_that_the_log_lacks_goes_to_the_model_when_allowed(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    code = "print(llm_query('kept'))\nimport os\nprint(llm_query(os.urandom(4).hex())[8:])"
    rlm = scripted([cell(code), answer("'done'")], lambda p: f"{p} is a reply")
    recorded = rlm.completion("c")
    before = len(scripted.server.requests)
    where = {"base_url": scripted.server.base_url}
    live = reopened(recorded, on_miss="live", backend_kwargs=where).completion()
    assert live.response == "done"
    asked = scripted.server.requests[before:]
    assert len(asked) == 1
    assert not asked[0].is_root


def test_another_question_is_another_run(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    recorded = scripted([answer("'done'")]).completion("c", root_prompt="What is it?")
    with pytest.raises(ReplayMissError, match="What is it"):
        reopened(recorded).completion(root_prompt="Who is it?")
    assert reopened(recorded).completion(root_prompt="What is it?").response == "done"


def test_the_context_must_be_the_recorded_one(
    scripted: ScriptedRLM, reopened: Callable[..., RLM], tmp_path: Path
) -> None:
    book = tmp_path / "book.txt"
    book.write_text("Call me Ishmael. " * 10_000)
    recorded = scripted([answer("len(context)")]).completion(book)
    with pytest.raises(RLMError, match="Give it: context="):
        reopened(recorded).completion()
    with pytest.raises(ContextMismatchError) as wrong:
        reopened(recorded, context="Call me Ahab.").completion()
    assert wrong.value.expected != wrong.value.found
    with pytest.raises(ContextMismatchError):
        reopened(recorded).completion("Call me Ahab.")
    replayed = reopened(recorded, context=book).completion()
    same = recorded.trajectory.same_as(replayed.trajectory)
    assert same, str(same)
    assert reopened(recorded).completion(book.read_text()).response == recorded.response


@pytest.mark.parametrize("context", [b"\x00\xff bytes", {"a": [1, None, "x"]}, ["x", "y"], "ä\n"])
def test_a_small_context_is_in_the_log(
    scripted: ScriptedRLM, reopened: Callable[..., RLM], context: Any
) -> None:
    recorded = scripted([answer("repr(context)")]).completion(context)
    replayed = reopened(recorded).completion()
    assert replayed.prompt == context
    assert replayed.response == repr(context)


def test_a_run_without_a_kernel_is_replayed_too(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    recorded = scripted([], lambda p: f"plain: {p}", max_depth=0).completion("c", root_prompt="q")
    assert reopened(recorded).completion().trajectory.same_as(recorded.trajectory)


def test_a_killed_run_cannot_be_replayed_past_its_end(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    recorded = scripted([cell("a = 1"), answer("a")]).completion("c")
    killed = cut(recorded.trajectory, lambda event: event.type == "turn_finished")
    with pytest.raises(ReplayMissError, match="the log ends before this reply"):
        reopened(killed).completion()


def test_arguments_that_contradict_a_replay_are_refused(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    recorded = scripted([answer("1")]).completion("c")
    for options in ({"turn": 1}, {"model": "other"}, {"backend": "anthropic"}, {"messages": "x"}):
        with pytest.raises(ArgumentError):
            reopened(recorded, **options)
    with pytest.raises(ConfigurationError, match="on_miss"):
        reopened(recorded, on_miss="ignore")
    with pytest.raises(ArgumentError, match="The prompt is missing"):
        RLM(backend_kwargs={"model_name": "m", "api_key": "k"}).completion()


def test_a_local_log_runs_in_every_environment(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    recorded = scripted([cell("print(llm_query('x'))"), answer("'done'")]).completion("c")
    for environment in {"local", scripted.environment}:
        replayed = reopened(
            recorded,
            environment=environment,
            environment_kwargs=scripted.environment_kwargs(environment),
        ).completion()
        same = recorded.trajectory.same_as(replayed.trajectory)
        assert same, str(same)


def test_a_replay_can_be_awaited_watched_and_logged(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    import asyncio

    recorded = scripted([answer("'done'")]).completion("c")

    async def both() -> list[Event]:
        assert (await reopened(recorded).acompletion()).response == "done"
        return [event async for event in reopened(recorded).stream()]

    assert isinstance(asyncio.run(both())[-1], RunFinished)


def test_a_failed_call_is_made_again_where_the_log_only_saves_calls(
    scripted: ScriptedRLM, reopened: Callable[..., RLM]
) -> None:
    failing = [True]

    def sub(prompt: str) -> LMResponse:
        fails = prompt == "bad" and failing[0]
        return LMResponse(status=400, text="no") if fails else LMResponse(text=f"{prompt} ok")

    code = "print(llm_query('bad').startswith('Error'), llm_query('good'))"
    recorded = scripted([cell(code), answer("'done'"), answer("'live'")], sub).completion("c")
    failing[0] = False
    before = len(scripted.server.requests)
    where = {"base_url": scripted.server.base_url}
    with pytest.warns(ReplayWarning, match="True good ok' / 'False good ok"):
        again = reopened(recorded, on_miss="live", backend_kwargs=where).completion()
    # The cell printed something else, so the log has no reply to the second turn's prompt.
    assert again.response == "live"
    assert [request.is_root for request in scripted.server.requests[before:]] == [False, True]


def test_the_references_own_log_is_replayed(
    scripted: ScriptedRLM, reopened: Callable[..., RLM], tmp_path: Path
) -> None:
    root = [cell("print(llm_query_batched(['a', 'b', 'a']))"), answer("context")]
    recorded = scripted(root, numbered()).completion("a context", root_prompt="What is it?")
    path = recorded.save(tmp_path / "log.jsonl")
    scripted.server.close()
    with RLM.from_notebook(path, replay=True, context="a context") as again:
        result = again.completion()
    assert result.response == "a context"
    outputs = [each.trajectory.root.cells[0].outputs for each in (recorded, result)]
    assert outputs[0] == outputs[1]
    says = r"this kind of log holds none \(.jsonl\).*\nGive it"
    with RLM.from_notebook(path, replay=True) as again, pytest.raises(RLMError, match=says):
        again.completion()
