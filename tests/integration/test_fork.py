"""A recorded run that goes on live: resumed where it stopped, or forked at a turn."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from rlm import (
    RLM,
    BudgetExceededError,
    ConfigurationError,
    ReplayMissError,
    ReplayWarning,
    Trajectory,
)
from rlm.demo.server import LMRequest, script
from rlm.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import ScriptedRLM


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


def answer(expression: str) -> str:
    return cell(f"answer['content'] = {expression}; answer['ready'] = True")


def cut(trajectory: Trajectory, kind: str, number: int) -> Trajectory:
    """Return the record of a run that was killed after the n-th event of a kind."""
    kept: list[Event] = []
    for event in trajectory.events:
        kept.append(event)
        number -= event.type == kind
        if number == 0:
            break
    return Trajectory.from_events(kept)


class Forks:
    """Opens logs again, with a model of their own behind a server of their own."""

    def __init__(self, scripted: ScriptedRLM, serve: Any, folder: Path) -> None:
        self._scripted = scripted
        self._serve = serve
        self._folder = folder

    def __call__(
        self, recorded: Trajectory, root: Any, sub: Any = lambda p: f"live {p}", **options: Any
    ) -> RLM:
        path = recorded.save(self._folder / f"{len(list(self._folder.iterdir()))}.json")
        self._scripted.server.close()  # Whatever is asked of the recorded run's server fails.
        self.server = self._serve(script(root, sub))
        options["backend_kwargs"] = {"base_url": self.server.base_url, "api_key": "k"}
        return self._scripted.running.enter_context(RLM.from_notebook(path, **options))

    @property
    def turns(self) -> list[LMRequest]:
        return [request for request in self.server.requests if request.is_root]

    @property
    def sub_calls(self) -> list[str]:
        return [request.prompt for request in self.server.requests if not request.is_root]


@pytest.fixture
def fork(scripted: ScriptedRLM, server: Any, tmp_path: Path) -> Forks:
    return Forks(scripted, server, tmp_path)


THREE = [
    cell("a = llm_query('first')\nprint(a)"),
    cell("b = a + llm_query('second')\nprint(b)"),
    answer("b"),
]


def three(scripted: ScriptedRLM, **options: Any) -> Trajectory:
    rlm = scripted(THREE, lambda prompt: f"[{prompt}]", **options)
    trajectory = rlm.completion("the context", root_prompt="Why?").trajectory
    assert trajectory is not None
    return trajectory


def test_a_fork_goes_on_with_another_model_from_a_turn(scripted: ScriptedRLM, fork: Forks) -> None:
    rlm = fork(three(scripted), [answer("b + llm_query('third')")], turn=3, model="other")
    result = rlm.completion()
    assert result.response == "[first][second]live third"
    assert [request.body["model"] for request in fork.turns] == ["other"]
    assert fork.sub_calls == ["third"]
    said = str(fork.turns[0].messages)
    assert "Why?" in said
    assert "[first][second]" in said
    models = [turn.reply.model for turn in result.trajectory.root.turns]
    assert models == ["m", "m", "other"]
    assert result.root_model == "other"
    assert set(result.usage.model_usage_summaries) == {"m", "other"}
    calls = [call.started.model for call in result.trajectory.root.sub_calls]
    assert calls == ["m", "m", "other"]


def test_a_fork_with_another_model_is_replayed_and_forked_like_any_run(
    scripted: ScriptedRLM, fork: Forks
) -> None:
    asks = answer("b + llm_query('third')")
    other = fork(three(scripted), [asks], turn=3, model="other").completion().trajectory
    with RLM.from_notebook(other, replay=True) as again:
        assert again.completion().response == "[first][second]live third"
    assert fork.sub_calls == ["third"]
    third = fork(other, [asks], turn=3, model="third")
    assert third.completion().response == "[first][second]live third"
    assert fork.sub_calls == ["third"]
    assert [request.body["model"] for request in fork.server.requests] == ["third", "third"]


def test_a_fork_s_record_keeps_the_replies_of_two_models_apart(server: Any) -> None:
    numbers = itertools.count(1)
    both = cell("print(llm_query('p'), llm_query('p', model='m'))")
    root = [cell("llm_query('x', model='m')"), both, answer("'done'")]
    log = server(script(root, lambda _: f"reply {next(numbers)}"))
    at = {"base_url": log.base_url, "api_key": "k"}
    small = {"model_name": "small", **at}
    others: dict[str, Any] = {"other_backends": ["openai"], "other_backend_kwargs": [small]}
    with RLM(backend_kwargs={"model_name": "m", **at}, **others) as rlm:
        trajectory = rlm.completion("the context").trajectory
    at["base_url"] = server(script([answer("'forked'")])).base_url
    none: dict[str, Any] = {"other_backends": [], "other_backend_kwargs": []}
    with RLM.from_notebook(trajectory, turn=3, model="new", backend_kwargs=at, **none) as rlm:
        trajectory = rlm.completion().trajectory
    with RLM.from_notebook(trajectory, replay=True) as again:
        replayed = again.completion().trajectory
    assert replayed.root.cells[1].outputs[0]["text"] == "reply 2 reply 3\n"


def test_a_fork_can_be_given_messages(scripted: ScriptedRLM, fork: Forks) -> None:
    rlm = fork(three(scripted), [answer("'ok'")], turn=2, messages="Mind the second part.")
    rlm.completion()
    *_, told, turn = fork.turns[0].messages
    assert told == {"role": "user", "content": "Mind the second part."}
    assert str(turn["content"]).startswith("Turn 2/")


def test_a_fork_from_the_first_turn_asks_the_question_again(
    scripted: ScriptedRLM, fork: Forks
) -> None:
    rlm = fork(three(scripted), [answer("context + llm_query('first')")], turn=1)
    assert rlm.completion().response == "the contextlive first"


def test_a_killed_run_goes_on_from_its_last_whole_turn(scripted: ScriptedRLM, fork: Forks) -> None:
    # Killed amid the second turn's cell: what it had of that turn does not count.
    killed = cut(three(scripted), "sub_call_finished", 2)
    result = fork(killed, [cell("b = a * 2"), answer("b")]).completion()
    assert result.response == "[first][first]"
    assert [request.turn for request in fork.turns] == [2, 3]
    assert fork.sub_calls == []


def test_a_resumed_run_that_had_an_answer_gives_it_again(
    scripted: ScriptedRLM, fork: Forks
) -> None:
    result = fork(three(scripted), []).completion()
    assert result.response == "[first][second]"
    assert fork.server.requests == []


def test_a_run_whose_turns_were_used_up_goes_on_with_more(
    scripted: ScriptedRLM, fork: Forks
) -> None:
    recorded = scripted([cell("a = 1"), "I do not know."], max_iterations=1).completion("c")
    assert recorded.response == "I do not know."
    again = fork(recorded.trajectory, []).completion()
    assert again.response == "I do not know."
    more = fork(recorded.trajectory, [answer("a + 1")], max_iterations=5).completion()
    assert more.response == "2"


def test_a_run_that_hit_its_budget_goes_on_with_more(scripted: ScriptedRLM, fork: Forks) -> None:
    root = [
        cell("kept = llm_query('x' * 400)"),
        cell("for i in range(1000): llm_query('y' * 4000)"),
    ]
    prices = {"m": (10.0, 10.0)}
    rlm = scripted(root, max_budget=0.06, prices=prices)
    with pytest.raises(BudgetExceededError) as recorded:
        rlm.completion("c")
    rlm = fork(recorded.value.trajectory, [answer("kept")], max_budget=1.0)
    result = rlm.completion()
    assert result.response == "ok"
    assert len(fork.turns) == 1


def test_a_call_that_the_log_lacks_is_asked_in_a_fork_unless_told_otherwise(
    scripted: ScriptedRLM, fork: Forks
) -> None:
    code = "import os\nprint(len(llm_query(os.urandom(2).hex())))"
    recorded = scripted([cell(code), answer("1")], lambda _: "a reply").completion("c")
    fork(recorded.trajectory, [answer("2")], lambda _: "a reply", turn=2).completion()
    assert len(fork.sub_calls) == 1
    with pytest.raises(ReplayMissError):
        fork(recorded.trajectory, [answer("2")], turn=2, on_miss="error").completion()


def test_children_of_replayed_turns_are_replayed_and_later_ones_are_live(
    scripted: ScriptedRLM, fork: Forks
) -> None:
    def root(request: LMRequest) -> str:
        if "of 5 characters" in str(request.messages[1]):
            return answer("llm_query('of ' + context)")
        return cell("print(rlm_query('child'))") if request.turn == 1 else answer("'done'")

    recorded = scripted(root, lambda p: f"[{p}]", max_depth=2).completion("context")
    live = [cell("x = rlm_query('chilD')"), answer("'child ' + context"), answer("x")]
    result = fork(recorded.trajectory, live, turn=2).completion()
    assert result.response == "child chilD"
    first, second = result.trajectory.root.children
    assert first.answer == "[of child]"
    assert second.answer == "child chilD"
    assert fork.sub_calls == []


def test_different_output_in_a_replayed_turn_is_reported(
    scripted: ScriptedRLM, fork: Forks
) -> None:
    recorded = scripted([cell("import os\nos.urandom(8)"), answer("1")]).completion("c")
    with pytest.warns(ReplayWarning, match="other output"):
        fork(recorded.trajectory, [answer("2")], turn=2).completion()


def test_an_edited_cell_forks_after_its_turn(
    scripted: ScriptedRLM, fork: Forks, tmp_path: Path
) -> None:
    recorded = three(scripted)
    path = recorded.save(tmp_path / "run.ipynb")
    notebook = json.loads(path.read_text())
    code = next(
        each
        for each in notebook["cells"]
        if each["cell_type"] == "code" and "second" in "".join(each["source"])
    )
    code["source"] = ["b = 'edited ' + a\n", "print(b)"]
    path.write_text(json.dumps(notebook))
    scripted.server.close()
    fork(recorded, [answer("b")])
    with RLM.from_notebook(
        path, backend_kwargs={"base_url": fork.server.base_url, "api_key": "k"}
    ) as rlm:
        result = rlm.completion()
    assert result.response == "edited [first]"
    assert [request.turn for request in fork.turns] == [3]
    assert "edited [first]" in str(fork.turns[0].messages[-2])


@pytest.mark.parametrize("turn", [0, 4, -1])
def test_a_turn_that_the_log_does_not_reach_is_refused(
    scripted: ScriptedRLM, fork: Forks, turn: int
) -> None:
    with pytest.raises(ConfigurationError, match="from turn 1 to turn 3"):
        fork(three(scripted), [], turn=turn)


def test_a_persistent_run_goes_on_after_its_logs(
    scripted: ScriptedRLM, server: Callable[..., Any], tmp_path: Path
) -> None:
    rlm = scripted([cell("kept = 'k1'"), answer("kept")], persistent=True)
    path = rlm.completion("one").save(tmp_path / "1.json")
    live = server(script([answer("kept + context_1")]))
    options = {"backend_kwargs": {"base_url": live.base_url, "api_key": "k"}}
    with RLM.from_notebook([path], **options) as again:
        assert again.completion().response == "k1"
        assert again.completion("two").response == "k1two"
