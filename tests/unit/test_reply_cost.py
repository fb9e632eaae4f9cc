"""What it costs to read a reply grows with its length and no faster, whatever stands in it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from rlm.reply_parser import parse_reply, text_outside_code
from rlm.thoughts import split_thoughts

if TYPE_CHECKING:
    from types import FrameType

UNITS = [
    *("```repl\n\\'''\n```\n", "```repl\n'''\n```\n", "```repl\nx\n", "````repl\nx\n```\n"),
    *("````python\nx\n```\n", "```markdown\n```python\n", "```json\n", "~~~repl\n```\n"),
    *("> ```repl\n> x\n> ```\n", "> ```repl\n", "```end\n", "```repl\na ```\n", "a ```repl\n"),
    *("FINAL(\n", "FINAL((((\n", "`FINAL(x)` a\n", "FINAL_VAR(\n", "FINAL(1) a\n2) b\n", "(", ")"),
    *(" :)\n", "- ", "</s> ", "<think>", "</think>\n", "<think></think>", "`<think>`"),
    *("<|channel|>analysis<|message|>", "<|end|>", "x </think><think>", "\\'", '"""', "\u200b"),
]
BEGINNINGS = ["", "```repl\n", "FINAL(", "<think>", "```repl\nx = '''\n```\n", "<think>```\n"]


def steps(text: str) -> int:
    """Return how many lines of Python it takes to read a reply."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        _, said = split_thoughts(text)
        parse_reply(said, python_fences=True)
        parse_reply(text, complete=False)
        text_outside_code(text)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("unit", UNITS)
def test_twice_the_text_takes_twice_the_steps(unit: str) -> None:
    parse_reply("```repl\nx = 1\n```")  # what the first call alone does is not counted
    for beginning in BEGINNINGS:
        once, twice = (steps(beginning + unit * (n // len(unit))) for n in (600, 1_200))
        assert twice <= 2.2 * once + 500, (beginning, once, twice)
