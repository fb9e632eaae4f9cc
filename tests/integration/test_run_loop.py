"""The loop over a real kernel: turns, cells, answers."""

from __future__ import annotations

import asyncio
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from rlm import RLM, ContextError, KernelDiedError, RLMLogger
from rlm.demo.server import LMRequest, LMResponse, script
from rlm.events import ModelReply, RunFinished, RunStarted, TurnStarted

ANSWER = "```repl\nanswer['content'] = {0}\nanswer['ready'] = True\n```"


def answer(expression: str) -> str:
    return ANSWER.format(expression)


def test_a_model_looks_asks_and_answers(scripted: Any) -> None:
    rlm = scripted(
        ["```repl\nx = llm_query('how many?')\nlen(context), x\n```", answer("x + '!'")],
        lambda prompt: f"heard {prompt}",
    )
    result = rlm.completion("some text", root_prompt="What is it?")
    assert result.response == result.answer == "heard how many?!"
    assert result.root_model == "m"
    assert result.prompt == "some text"
    assert result.execution_time > 0
    assert result.metadata is None
    assert result.usage.total_calls == 3
    assert "(9, 'heard how many?')" in scripted.shown(1)
    assert "REPL variables: ['x']" in scripted.shown(1)


def test_the_context_never_enters_the_messages(scripted: Any) -> None:
    rlm = scripted([answer("context[-6:]")])
    assert rlm.completion("x" * 100_000 + "needle", root_prompt="?").response == "needle"
    sent = json.dumps(scripted.server.requests[0].body)
    assert "needle" not in sent
    assert "Your context is a str of 100,006 characters." in sent
    assert "Answer the following: ?" in sent


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("```repl\nanswer = {'content': 7, 'ready': True}\n```", "7"),
        ("```repl\nFINAL('by function')\n```", "by function"),
        ("```repl\nx = 'of a variable'\nFINAL_VAR('x')\n```", "of a variable"),
        ("I am done.\nFINAL(in plain text (really))", "in plain text (really)"),
        ("```repl\nx = 5\n```\nFINAL_VAR(x)", "5"),
    ],
)
def test_every_way_to_answer_is_understood(scripted: Any, reply: str, expected: str) -> None:
    assert scripted([reply]).completion("c").response == expected


def test_final_var_of_a_missing_variable_is_told_and_the_run_goes_on(scripted: Any) -> None:
    rlm = scripted(["FINAL_VAR(nothing)", answer("'found'")])
    assert rlm.completion("c").response == "found"
    assert "no variable 'nothing'" in scripted.shown(1)


def test_all_blocks_run_in_order_until_one_answers(scripted: Any) -> None:
    rlm = scripted(
        [
            "```repl\nprint('one')\n```\nthen\n```repl\nprint('two')\n```",
            answer("'first'") + "\n" + answer("'second'"),
        ]
    )
    result = rlm.completion("c")
    assert result.response == "first"
    assert "REPL output (block 1):\none" in scripted.shown(1)
    assert "REPL output (block 2):\ntwo" in scripted.shown(1)
    assert len(result.trajectory.root.turns[1].cells) == 1


def test_a_cell_that_raises_keeps_what_it_made(scripted: Any) -> None:
    rlm = scripted(["```repl\nkept = 41\n1 / 0\n```", answer("kept + 1")])
    assert rlm.completion("c").response == "42"
    assert "ZeroDivisionError" in scripted.shown(1)
    assert "\x1b" not in scripted.shown(1)


def test_after_a_reply_without_code_the_model_is_told_so(scripted: Any) -> None:
    replies = ["Let me think.", "```python\nprint(1)\n```", answer("'ok'")]
    rlm = scripted(replies, python_fences=False)
    result = rlm.completion("c")
    assert [len(turn.cells) for turn in result.trajectory.root.turns] == [0, 0, 1]
    assert "no ```repl``` block" in scripted.shown(1)
    assert "only blocks tagged `repl`" in scripted.shown(2)


def test_python_fences_run_when_asked_for(scripted: Any) -> None:
    rlm = scripted(["```python\nFINAL('run')\n```"], python_fences=True)
    assert rlm.completion("c").response == "run"


def test_imitated_output_is_not_believed(scripted: Any) -> None:
    rlm = scripted(
        [
            "```repl\nx = 2\n```\nREPL output:\n3\n" + answer("'wrong'"),
            answer("x"),
        ]
    )
    assert rlm.completion("c").response == "2"
    messages = scripted.server.requests[-1].messages
    assert not any("wrong" in str(message["content"]) for message in messages)


def test_after_the_last_turn_the_model_is_asked_outright(scripted: Any) -> None:
    rlm = scripted(["```repl\n1\n```", "```repl\n2\n```", "my best guess"], max_iterations=2)
    logger = RLMLogger()
    rlm = scripted(
        ["```repl\n1\n```", "```repl\n2\n```", "my best guess"], max_iterations=2, logger=logger
    )
    result = rlm.completion("c")
    assert result.response == "my best guess"
    last = scripted.server.requests[-1].messages[-1]
    assert last["role"] == "user"
    assert "final answer" in last["content"]
    assert len(result.metadata["iterations"]) == 3
    assert result.metadata["iterations"][-1]["final_answer"] == "my best guess"
    assert result.trajectory.root.finished.status == "exhausted"


@pytest.mark.parametrize("empty", ["", None, "   \n"])
def test_an_empty_reply_is_a_wasted_turn(scripted: Any, empty: str | None) -> None:
    rlm = scripted([LMResponse(text=empty), answer("'after'")])
    result = rlm.completion("c")
    assert result.response == "after"
    assert len(result.trajectory.root.turns) == 2


def test_a_block_that_was_cut_short_is_not_run(scripted: Any) -> None:
    cut = LMResponse(text="```repl\nFINAL('half of", finish_reason="length")
    rlm = scripted([cut, answer("'whole'")])
    assert rlm.completion("c").response == "whole"
    assert "cut off inside a block" in scripted.shown(1)


def test_an_answer_that_was_cut_short_is_not_taken(scripted: Any) -> None:
    cut = LMResponse(text="FINAL(The capital of Fra", finish_reason="length")
    rlm = scripted([cut, "FINAL(Paris)"])
    assert rlm.completion("c").response == "Paris"
    assert "cut off inside FINAL" in scripted.shown(1)


def test_an_answer_next_to_code_that_failed_is_not_taken(scripted: Any) -> None:
    rlm = scripted(["```repl\n1 / 0\n```\nFINAL(a guess)", "FINAL(better)"])
    assert rlm.completion("c").response == "better"
    assert "ZeroDivisionError" in scripted.shown(1)
    assert "not accepted" in scripted.shown(1)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("```repl\nanswer['content'] = 'a draft'\n```", "a draft"),
        ("I think it is 7.\n```repl\n7\n```", "I think it is 7."),
        ("```repl\n7\n```", ""),
    ],
)
def test_when_the_last_reply_is_empty_the_best_draft_is_the_answer(
    scripted: Any, reply: str, expected: str
) -> None:
    assert scripted([reply, ""], max_iterations=1).completion("c").response == expected


def test_long_output_keeps_head_and_tail(scripted: Any) -> None:
    code = "```repl\nprint('a' * 30_000 + 'THE END')\n```"
    rlm = scripted([code, answer("1")])
    rlm.completion("c")
    shown = scripted.shown(1)
    assert "... + [10007 chars...]" in shown
    assert "THE END" in shown
    rlm = scripted([code, answer("1")], head_only=True)
    rlm.completion("c")
    assert "THE END" not in scripted.shown(1)


def test_a_cell_without_output_says_so(scripted: Any) -> None:
    rlm = scripted(["```repl\npass\n```", answer("1")])
    rlm.completion("c")
    assert "REPL output:\nNo output" in scripted.shown(1)


def test_images_go_to_a_model_that_takes_them(scripted: Any) -> None:
    code = """```repl
from IPython.display import Image
import base64
png = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
Image(data=png, format="png")
```"""
    rlm = scripted([code, answer("1")], show_images=True)
    rlm.completion("c")
    parts = next(
        m["content"]
        for m in scripted.server.requests[-1].messages
        if isinstance(m["content"], list)
    )
    assert parts[1]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    rlm = scripted([code, answer("1")])
    rlm.completion("c")
    assert all(isinstance(m["content"], str) for m in scripted.server.requests[-1].messages)


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": [True, None, 1.5]},
        ["one", "two"],
        [{"role": "user", "content": "hi"}],
        b"\x00\xff",
        {1: "int keys"},
        {"of one"},
        "NUL \x00, CR \r, CRLF \r\n, lone surrogate \ud800",
        float("inf"),
        "",
        [],
        (1, 2),
    ],
)
def test_contexts_arrive_intact(scripted: Any, value: Any) -> None:
    rlm = scripted([answer("ascii(context)")])
    assert rlm.completion(value).response == ascii(value)


def test_a_data_frame_is_described_and_arrives(scripted: Any) -> None:
    pandas = pytest.importorskip("pandas")
    rlm = scripted([answer("int(context['n'].sum())")])
    frame = pandas.DataFrame({"n": [1, 2, 3], "s": ["a", "b", "c"]})
    assert rlm.completion(frame).response == "6"
    sent = json.dumps(scripted.server.requests[0].body)
    assert "a pandas.DataFrame of 3 rows x 2 columns: 'n' (int64), 's' (" in sent


def test_a_path_is_its_text_and_a_folder_its_texts(scripted: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("alpha")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("beta")
    (tmp_path / "c.bin").write_bytes(b"\xff\xfe\x00")
    assert scripted([answer("context")]).completion(tmp_path / "a.txt").response == "alpha"
    assert scripted([answer("sorted(context.items())")]).completion(tmp_path).response == str(
        [("a.txt", "alpha"), ("sub/b.txt", "beta")]
    )
    assert "1 left out: 'c.bin'" in json.dumps(scripted.server.requests[0].body)
    with pytest.raises(ContextError, match="does not exist"):
        scripted([]).completion(tmp_path / "none.txt")


def test_a_context_that_cannot_travel_is_refused_before_any_call(scripted: Any) -> None:
    rlm = scripted([])
    with pytest.raises(ContextError, match="cannot be pickled") as caught:
        rlm.completion(lambda: None)
    assert scripted.server.requests == []
    assert caught.value.trajectory.root.finished.status == "error"


async def test_sync_and_async_completions_work_inside_a_running_loop(scripted: Any) -> None:
    rlm = scripted(lambda _: answer("context"))
    assert rlm.completion("sync").response == "sync"
    results = await asyncio.gather(*(rlm.acompletion(str(i)) for i in range(4)))
    assert [result.response for result in results] == ["0", "1", "2", "3"]


async def test_a_run_can_be_watched(scripted: Any) -> None:
    rlm = scripted([answer("'seen'")])
    events = [event async for event in rlm.stream("c", root_prompt="q")]
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    assert events[-1].answer == "seen"
    assert any(isinstance(event, ModelReply) for event in events)


async def test_leaving_the_stream_cancels_the_run(scripted: Any) -> None:
    rlm = scripted(lambda _: "```repl\nimport time; time.sleep(30)\n```")
    stream = rlm.stream("c")
    async for event in stream:
        if event.type == "cell_started":
            break
    await stream.aclose()


def test_each_turn_tells_what_is_new_in_its_prompt(scripted: Any) -> None:
    rlm = scripted(["```repl\n1\n```", answer("2")])
    result = rlm.completion("c")
    first, second = (e for e in result.trajectory.events if isinstance(e, TurnStarted))
    assert (first.kept, len(first.messages)) == (0, 3)
    assert (second.kept, len(second.messages)) == (3, 3)
    assert result.trajectory.root.turns[1].messages == scripted.server.requests[-1].messages


def test_a_lost_kernel_comes_back_and_the_model_is_told(scripted: Any) -> None:
    rlm = scripted(
        ["```repl\nx = 1\n```", "```repl\nimport os; os._exit(3)\n```", answer("context")]
    )
    result = rlm.completion("still here")
    assert result.response == "still here"
    assert "all your variables are gone" in scripted.shown(2)
    assert any(note.kind == "restart" for note in result.trajectory.root.turns[1].cells[0].notes)


def test_a_kernel_that_keeps_dying_ends_the_run(scripted: Any) -> None:
    rlm = scripted(lambda _: "```repl\nimport os; os._exit(3)\n```", max_restarts=1)
    with pytest.raises(KernelDiedError, match="max_restarts=1") as caught:
        rlm.completion("c")
    assert len(caught.value.trajectory.root.turns) == 2


def test_a_cell_that_takes_too_long_is_stopped_and_the_run_goes_on(scripted: Any) -> None:
    rlm = scripted(["```repl\nx = 1\nwhile True: pass\n```", answer("x")], cell_timeout=3)
    assert rlm.completion("c").response == "1"
    assert "ran over its time" in scripted.shown(1)


def test_setup_code_runs_before_the_first_cell(scripted: Any) -> None:
    rlm = scripted([answer("math.pi")], environment_kwargs={"setup_code": "import math"})
    assert rlm.completion("c").response.startswith("3.14")


@pytest.mark.parametrize("persistent", [False, True])
def test_what_setup_code_calls_is_counted_and_recorded(
    scripted: Any, tmp_path: Path, persistent: bool
) -> None:
    logger = RLMLogger(log_dir=tmp_path)
    rlm = scripted(
        ["no code yet", answer("said + str(tool(1))")],
        lambda _: LMResponse(text="hello", usage=(100, 10)),
        environment_kwargs={"setup_code": "said = llm_query('early'); tool(0)"},
        custom_tools={"tool": lambda number: number},
        persistent=persistent,
        logger=logger,
    )
    result = rlm.completion("c")
    assert result.response == "hello1"
    assert result.usage_summary.total_input_tokens >= 100
    assert result.trajectory.root.own_usage.total_calls == 3
    calls = result.trajectory.root.setup_calls
    assert [call.name for call in calls] == ["llm_query", "tool"]
    assert len(result.trajectory.root.sub_calls) == 3
    assert "early" in next(tmp_path.iterdir()).read_text(encoding="utf-8")
    block = result.metadata["iterations"][0]["code_blocks"][0]
    assert "said = llm_query" in block["code"]
    assert [call["response"] for call in block["result"]["rlm_calls"]] == ["hello"]


def test_at_the_greatest_depth_a_run_is_one_plain_call(scripted: Any) -> None:
    rlm = scripted([], lambda prompt: f"plain {prompt}", depth=1, max_depth=1)
    result = rlm.completion("question")
    assert result.response == "plain question"
    assert result.usage.total_calls == 1
    assert result.trajectory.root.turns[0].reply.text == "plain question"


def test_approve_sees_changes_and_stops_cells(scripted: Any) -> None:
    seen: list[tuple[str, int]] = []

    def approve(code: str, turn: int) -> str | None:
        seen.append((code, turn))
        return code.replace("'bad'", "'good'")

    rlm = scripted([answer("'bad'")], approve=approve)
    assert rlm.completion("c").response == "good"
    assert seen[0][1] == 1
    rlm = scripted([answer("1")], approve=lambda *_: None)
    with pytest.raises(KeyboardInterrupt, match="approve"):
        rlm.completion("c")


def test_an_rlm_can_be_used_again_after_close(scripted: Any) -> None:
    rlm = scripted(lambda _: answer("context"))
    assert rlm.completion("a").response == "a"
    rlm.close()
    assert rlm.completion("b").response == "b"


def test_an_rlm_that_nobody_closes_frees_what_it_holds(server: Any) -> None:
    model = server(script([answer("1")]))
    kwargs = {"model_name": "m", "base_url": model.base_url}
    assert RLM(backend_kwargs=kwargs, persistent=True).completion("c").response == "1"
    # The fixture `nothing_left` looks whether the kernel, its server and the connection are gone.


def test_memory_is_limited(scripted: Any) -> None:
    code = (
        "try:\n    b'x' * (8 << 30)\nexcept MemoryError:\n"
        "    answer['content'], answer['ready'] = 'refused', True"
    )
    rlm = scripted([f"```repl\n{code}\n```"], environment_kwargs={"memory_limit": "1g"})
    assert rlm.completion("c").response == "refused"


def test_a_key_of_the_host_is_not_in_the_kernel(
    scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-host")
    rlm = scripted(
        [answer("'sk-host' in str(__import__('os').environ), __import__('os').environ['EXTRA']")],
        environment_kwargs={"env": {"EXTRA": "given"}},
    )
    assert rlm.completion("c").response == "(False, 'given')"


@pytest.mark.parametrize("environment", ["local"], indirect=True)
def test_a_classes_module_beside_the_script_is_found(
    scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_the_script.py").write_text("class Thing:\n    size = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("beside_the_script")
    assert scripted([answer("context.size")]).completion(module.Thing()).response == "3"


def test_a_verbose_run_is_told_on_stderr(scripted: Any, capsys: pytest.CaptureFixture[str]) -> None:
    scripted([answer("'loud and clear'")], verbose=True).completion("c")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "loud and clear" in captured.err


def test_callbacks_are_called_before_the_completion_returns(scripted: Any) -> None:
    calls: list[Any] = []
    rlm = scripted(
        ["```repl\n1\n```", answer("2")],
        on_iteration_start=lambda depth, n: calls.append(("start", depth, n)),
        on_iteration_complete=lambda depth, n, _: calls.append(("end", depth, n)),
    )
    rlm.completion("c")
    assert calls == [("start", 0, 1), ("end", 0, 1), ("start", 0, 2), ("end", 0, 2)]


def test_the_log_does_not_hold_the_context(scripted: Any, tmp_path: Path) -> None:
    logger = RLMLogger(log_dir=tmp_path)
    rlm = scripted(["```repl\nlen(context)\n```", answer("1")], logger=logger)
    result = rlm.completion("secret " * 10_000, root_prompt="q")
    (log,) = tmp_path.glob("*.jsonl")
    assert log.stat().st_size < 40_000
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["type"] for line in lines] == ["metadata", "iteration", "iteration"]
    assert [i["response"] for i in result.metadata["iterations"]] == [
        line["response"] for line in lines[1:]
    ]


def test_a_result_can_be_saved_and_shown(
    scripted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = scripted([answer("'<script>alert(1)</script> **bold**'")]).completion("c")
    path = result.save(tmp_path / "run.json")
    assert json.loads(path.read_text())["schema"] == 1
    result.view()
    assert "bold" in capsys.readouterr().out
    assert "<script>" not in result._repr_markdown_()


def test_requests_of_root_turns_are_streamed_and_sub_calls_are_not(scripted: Any) -> None:
    rlm = scripted(["```repl\nllm_query('x')\n```", answer("1")])
    rlm.completion("c")
    streamed = [(request.is_root, request.stream) for request in scripted.server.requests]
    assert streamed == [(True, True), (False, False), (True, True)]


def test_the_first_turn_says_look_first(scripted: Any) -> None:
    scripted([answer("1")]).completion("c")
    request: LMRequest = scripted.server.requests[0]
    assert "Turn 1/30:" in request.prompt
    assert "not looked at the context" in request.prompt


def test_the_same_object_serves_repeated_completions(scripted: Any) -> None:
    rlm: RLM = scripted(lambda _: answer("context * 2"))
    assert [rlm.completion(str(i)).response for i in range(3)] == ["00", "11", "22"]
