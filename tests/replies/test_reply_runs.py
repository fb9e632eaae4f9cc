"""Forms of the table in whole runs: a real HTTP server, a real kernel."""

from __future__ import annotations

from typing import Any

import pytest
from reply_forms import CUT_ANSWER, EMPTY, FORMS, OTHER_CODE, Form

from rlm import ArgumentError
from rlm.demo.server import LMResponse

END = "FINAL(the end)"
IN_A_RUN = pytest.mark.parametrize(
    "form", [form for form in FORMS if form.in_a_run], ids=lambda form: form.name
)


def codes(turn: Any) -> tuple[str, ...]:
    return tuple(cell.started.code for cell in turn.cells)


@IN_A_RUN
@pytest.mark.parametrize("backend", ["vllm", "anthropic"])
def test_a_form_in_a_run(standing: Any, form: Form, backend: str) -> None:
    rlm = standing([LMResponse(text=form.text, finish_reason=form.finish), END], backend=backend)
    result = rlm.completion("c")
    turn = result.trajectory.root.turns[0]
    assert codes(turn) == form.runs
    assert turn.reply.reasoning == form.thought
    if form.variable:
        assert result.response == "1"
    else:
        assert result.response == (form.answers or "the end")
    if form.answers is None and form.variable is None:
        assert form.told in standing.sent(1)
        assert not form.thought or form.thought not in standing.sent(1)


def test_thoughts_of_a_sub_call_do_not_reach_the_cell(standing: Any) -> None:
    cell = "```repl\nFINAL(llm_query('q'))\n```"
    rlm = standing([cell], lambda _: "<think>hm\nFINAL(1)</think>\n\nParis")
    result = rlm.completion("c")
    (call,) = result.trajectory.root.turns[0].cells[0].sub_calls
    assert (result.response, call.finished.response) == ("Paris", "Paris")
    assert call.finished.reasoning == "hm\nFINAL(1)"


def test_thoughts_of_a_plain_call_are_no_answer(standing: Any) -> None:
    result = standing(["unused"], lambda _: "<think>hm</think>42", max_depth=0).completion("q")
    assert result.response == "42"
    assert result.trajectory.root.turns[0].reply.reasoning == "hm"


def test_python_runs_until_the_model_knows_repl(standing: Any) -> None:
    python = "```python\nx = {}\n```"
    rlm = standing([python.format(1), "```repl\nx = 2\n```", python.format(3), "FINAL_VAR(x)"])
    result = rlm.completion("c")
    turns = result.trajectory.root.turns
    assert [codes(turn) for turn in turns] == [("x = 1",), ("x = 2",), (), ()]
    assert result.response == "2"
    assert OTHER_CODE in standing.sent(3)


@pytest.mark.parametrize(("option", "runs"), [(True, True), (False, False)])
def test_python_runs_as_the_user_says(standing: Any, option: bool, runs: bool) -> None:
    replies = ["```repl\nx = 1\n```", "```python\nx = 2\n```", "FINAL_VAR(x)"]
    assert standing(replies, python_fences=option).completion("c").response == (
        "2" if runs else "1"
    )


def test_python_fences_takes_three_values(standing: Any) -> None:
    with pytest.raises(ArgumentError, match="True, False or 'auto', not 'always'"):
        standing([], python_fences="always")


@pytest.mark.parametrize(
    ("last", "answer"),
    [
        ("FINAL(42)", "42"),
        ("I think so.\n\n**FINAL(42)**<|im_end|>", "42"),
        ("FINAL_VAR(kept)", "41"),
        ("```repl\nanswer['content'] = kept + 1\nanswer['ready'] = True\n```", "42"),
        ("```repl\nFINAL(kept + 1)\n```", "42"),
        ("```repl\nanswer['content'] = kept + 2\n```", "43"),
        ("```repl\nkept += 1\n```\nIt is 42.", "It is 42."),
        ("```repl\n1 / 0\n```\nFINAL(42)", "42"),
        ("<think>FINAL(41)</think>FINAL(42)", "42"),
        ("<think>or 41?</think>It is 42.", "It is 42."),
        ("It is 42, see:\n```text\n42\n```", "It is 42, see:\n```text\n42\n```"),
        ("FINAL_VAR(nothing)", "first"),
        ("<think>42", "first"),
    ],
)
def test_the_last_word_is_read_like_any_reply(standing: Any, last: str, answer: str) -> None:
    first = "first\n```repl\nkept = 41\n```"
    result = standing([first, last], max_iterations=1).completion("c")
    root = result.trajectory.root
    assert result.response == root.turns[-1].finished.final_answer == answer
    assert root.finished.status == "exhausted"


def test_an_empty_reply_of_thoughts_alone_is_told(standing: Any) -> None:
    result = standing(["<think>hm", END]).completion("c")
    assert EMPTY in standing.sent(1)
    assert "hm" not in standing.sent(1)
    assert result.response == "the end"


def test_a_cut_last_answer_in_a_turn_is_told(standing: Any) -> None:
    cut = LMResponse(text="**FINAL(The capital", finish_reason="length")
    assert standing([cut, END]).completion("c").response == "the end"
    assert CUT_ANSWER in standing.sent(1)
