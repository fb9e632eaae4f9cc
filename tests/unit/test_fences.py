"""Finding code and answers in what models write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.reply_parser import parse_reply, text_outside_code


def blocks(text: str, **options: bool) -> list[str]:
    return list(parse_reply(text, **options).blocks)


@pytest.mark.parametrize(
    "text",
    [
        "```repl\nx = 1\n```",
        "```repl\nx = 1\n```\n",
        "text\n\n```repl\nx = 1\n```\nmore",
        "```repl   \nx = 1\n```   ",
        "```REPL\nx = 1\n```",
        "~~~repl\nx = 1\n~~~",
        "````repl\nx = 1\n````",
        "```repl\r\nx = 1\r\n```\r\n",
        "```repl\nx = 1",
        "```repl\nx = 1```",
        "- a list\n  ```repl\n  x = 1\n  ```",
        "```\nsome output\n```\n```repl\nx = 1\n```",
        "```\nforgotten\n```repl\nx = 1\n```",
    ],
)
def test_one_block_is_found(text: str) -> None:
    assert blocks(text) == ["x = 1"]


@pytest.mark.parametrize(
    "text",
    [
        "no code at all",
        "inline ```repl x``` code",
        "```python\nx = 1\n```",
        "```\nx = 1\n```",
        "```repl\n\n```",
        "````markdown\n```repl\nx = 1\n```\n````",
        "```markdown\n```repl\nx = 1\n```\n```",
        "~~~\n````\n~~~",
        "```replay\nx = 1\n```",
    ],
)
def test_nothing_is_executed(text: str) -> None:
    assert blocks(text) == []


def test_fences_in_triple_quoted_strings_do_not_end_a_block() -> None:
    code = 's = """\n```python\ninside\n```\n"""\nprint(s)'
    assert blocks(f"```repl\n{code}\n```\nafter\n```repl\ny\n```") == [code, "y"]
    code = "t = '''\n```\n'''  # it's \"\"\"\nu = 1"
    assert blocks(f"```repl\n{code}\n```") == [code]
    code = 'p = f"""{x}\n```\n{y}"""\n!echo it\'s'
    assert blocks(f"```repl\n{code}\n```") == [code]


def test_a_string_that_never_ends_does_not_swallow_the_next_block() -> None:
    assert blocks('```repl\ns = """oops\n```\ntext\n```repl\nt = """x"""\n```') == [
        's = """oops',
        't = """x"""',
    ]


def test_several_blocks_come_in_order() -> None:
    assert blocks("```repl\na\n```\n```repl\nb\n```\n~~~repl\nc\n~~~") == ["a", "b", "c"]


def test_indentation_of_the_fence_is_taken_off_and_that_of_the_code_kept() -> None:
    assert blocks("  ```repl\n  for i in x:\n      y\n  ```") == ["for i in x:\n    y"]


def test_python_fences_count_only_when_asked_for_and_no_repl_fence_is_there() -> None:
    python, repl = "```python\na\n```", "```repl\nb\n```"
    assert blocks(python, python_fences=True) == ["a"]
    assert blocks(f"{python}\n{repl}", python_fences=True) == ["b"]
    assert parse_reply(python).other_code
    assert not parse_reply(repl).other_code


def test_a_block_that_was_cut_short_is_left_out() -> None:
    parsed = parse_reply("```repl\na\n```\n```repl\nb = 'ha", complete=False)
    assert parsed.blocks == ("a",)
    assert parsed.cut_short
    assert not parse_reply("```repl\na\n```", complete=False).cut_short


@pytest.mark.parametrize(
    "imitation",
    ["REPL output:\n5", "REPL output (block 1):\n5", "**REPL output:**\n5", "Turn 2/30:\nso"],
)
def test_imitated_output_is_cut_off(imitation: str) -> None:
    parsed = parse_reply(f"plan\n```repl\na\n```\n{imitation}\n```repl\nb\n```\nFINAL(wrong)")
    assert parsed.text == "plan\n```repl\na\n```"
    assert parsed.blocks == ("a",)
    assert parsed.answer is None
    assert parsed.cut > 0


def test_the_words_of_imitated_output_are_kept_before_and_inside_code() -> None:
    text = "REPL output: is what I want\n```repl\nprint('''\nREPL output:\n''')\n```"
    parsed = parse_reply(text)
    assert (parsed.text, parsed.cut) == (text, 0)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("FINAL(42)", "text", "42"),
        ("So:\n  FINAL(a (b) c) and on", "text", "a (b) c"),
        ('FINAL("quoted")', "text", "quoted"),
        ('FINAL("a) b")', "text", "a) b"),
        ('FINAL("a) b") is what I found (so far)', "text", "a) b"),
        ("FINAL(\n'a (b'\n)", "text", "a (b"),
        ('FINAL("""two)\nlines""")\nDone.', "text", "two)\nlines"),
        ('FINAL("so" he said)', "text", '"so" he said'),
        ("FINAL(see :) and go on)", "text", "see :) and go on"),
        (
            "FINAL(see :) and go on)\nThat is (all) there is)",
            "text",
            "see :) and go on)\nThat is (all) there is",
        ),
        ("FINAL(42) (I counted)", "text", "42"),
        ("FINAL(42)\nDone :)", "text", "42"),
        ("FINAL(:( and on)", "text", ":( and on"),
        ("FINAL(two\nlines)", "text", "two\nlines"),
        ("FINAL(never closed", "text", "never closed"),
        ("FINAL_VAR(result)", "variable", "result"),
        ("FINAL_VAR('result')", "variable", "result"),
    ],
)
def test_answers_are_found_in_text(text: str, kind: str, value: str) -> None:
    answer = parse_reply(text).answer
    assert answer is not None
    assert (answer.kind, answer.value) == (kind, value)


@pytest.mark.parametrize(
    "text",
    [
        *("FINAL(The capital of Fra", "FINAL(The capital (Paris) of", "FINAL(see :) and"),
        *("FINAL('a) b", "FINAL(42) it is\nAs I sa"),
    ],
)
def test_an_answer_that_was_cut_short_does_not_count(text: str) -> None:
    parsed = parse_reply(text, complete=False)
    assert (parsed.answer, parsed.cut_answer) == (None, True)


@pytest.mark.parametrize("text", ["FINAL(42)", "FINAL(42)\nAs I sa"])
def test_an_answer_before_the_cut_counts(text: str) -> None:
    parsed = parse_reply(text, complete=False)
    assert parsed.answer is not None
    assert (parsed.answer.value, parsed.cut_answer) == ("42", False)


def test_prose_is_the_text_outside_the_blocks() -> None:
    assert (
        text_outside_code("I count.\n```repl\n1\n```\nThen I add.\n~~~\nx")
        == "I count.\n\nThen I add."
    )
    assert text_outside_code("```repl\n1\n```") == ""


@pytest.mark.parametrize(
    "text",
    [
        "I will call FINAL(x) later",
        "```repl\nFINAL(1)\n```",
        "```python\nFINAL(1)\n```",
        "FINAL_VAR(not a name)",
        "`FINAL(x)`",
    ],
)
def test_text_that_only_looks_like_an_answer_is_none(text: str) -> None:
    assert parse_reply(text).answer is None


@given(st.text(alphabet="`~re pl\n\r\"'#\\xFINAL()", max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    parsed = parse_reply(text)
    assert len(parsed.text) <= len(text)
