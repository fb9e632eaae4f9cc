"""The demo's parts without a run: its input, the plain count, and the stand-in model's reading."""

from __future__ import annotations

from typing import Any

import pytest

from rlm.demo import model
from rlm.demo.messages import LMRequest
from rlm.demo.question import Count, collect, count, read_answer
from rlm.errors import ConfigurationError

SOURCE = '''\
"""raise NotImplementedError in a docstring's first line does not start a line."""
class Shape:
    def area(self):
        raise NotImplementedError

    async def draw(self):
        if self:
            raise NotImplementedError("draw")
def alone():
\traise NotImplementedError  # tab
'''


def request(*messages: tuple[str, str]) -> LMRequest:
    chat: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in messages]
    return LMRequest(path="", headers={}, messages=chat, model="m", stream=False, body={})


def test_the_plain_count_counts_lines_that_start_with_the_statement() -> None:
    sources = {"b.py": SOURCE, "a.py": SOURCE, "c.py": "pass"}
    assert count(sources) == Count(raises=6, files=2, most="a.py", in_it=3)
    assert count({}) == Count(raises=0, files=0, most="", in_it=0)


def test_the_model_names_file_class_and_function_of_each_statement() -> None:
    text = f"List them.\n\n##### FILE: a.py\n{SOURCE}##### FILE: b.py\nraise NotImplementedError\n"
    assert model.read(text).split("\n") == [
        "a.py :: Shape.area",
        "a.py :: Shape.draw",
        "a.py :: alone",
        "b.py :: the module",
    ]


def test_the_model_counts_what_is_in_the_prompt_it_was_sent() -> None:
    assert model.read(f"How many lines? Answer with a number.\n\n{SOURCE}") == "3"
    assert model.read(f"How many lines? Answer with a number.\n\n{SOURCE * 4}") == "12"
    assert model.read("List them.\n\n##### FILE: a.py\npass") == "none"


@pytest.mark.parametrize(
    ("printed", "turn"),
    [
        ("dict of length 700", model.READ),
        ("Traceback ...", model.READ),
        ("str of length 9\nCross-check: how many", model.CHILD),
        ("found 3 lines in 2 files; most: []", model.CROSS_CHECK),
        ("a.py: 3 by the pieces, and the child says: 3", model.ANSWER),
    ],
)
def test_the_models_next_turn_depends_on_what_was_printed_last(printed: str, turn: str) -> None:
    asked = (("system", "You are"), ("user", "Question"))
    assert model.reply(request(*asked)).text == model.LOOK
    assert model.reply(request(*asked, ("assistant", "x"), ("user", printed))).text == turn


def test_an_answers_closing_line_is_read_whatever_stands_before_it() -> None:
    answer = "Some 1,234.\n**raises=1,234; files=56; most=`a b/c.py`; in_it=7**"
    assert read_answer(answer) == Count(raises=1234, files=56, most="a b/c.py", in_it=7)
    assert read_answer("There are 1,234 of them.") is None


def test_the_input_is_this_pythons_own_sources() -> None:
    sources = collect(enough=1_000_000)
    assert "def run(" in sources["asyncio/runners.py"]
    assert sum(map(len, sources.values())) >= 1_000_000


def test_a_machine_without_enough_sources_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match=r"found [\d,]+ in"):
        collect(enough=10**12)
