"""The words that the root model hears."""

from __future__ import annotations

from rlm.core import prompts


def test_the_stock_prompt_teaches_the_protocol() -> None:
    text = prompts.system_prompt(None)
    for name in (
        "```repl",
        "context",
        "llm_query(",
        "llm_query_batched(",
        "rlm_query(",
        "rlm_query_batched(",
        "SHOW_VARS()",
        'answer["ready"] = True',
    ):
        assert name in text
    assert "{custom_tools_section}" not in text
    assert "discarded" not in text


def test_only_one_pair_of_braces_means_something() -> None:
    custom = "Use {this} and {{that}} and {0}. {custom_tools_section}"
    text = prompts.system_prompt(custom, tools_section="TOOLS", orchestrator=False)
    assert text == "Use {this} and {{that}} and {0}. TOOLS"


def test_tools_are_described_even_without_a_placeholder() -> None:
    text = prompts.system_prompt("Mine.", tools_section="TOOLS", orchestrator=False)
    assert text == "Mine.\nTOOLS"


def test_parts_are_added_as_asked_for() -> None:
    whole = prompts.system_prompt("Mine.", compaction=True)
    assert prompts.ORCHESTRATOR_PROMPT in whole
    assert prompts.COMPACTION_NOTE in whole
    assert prompts.system_prompt("Mine.", orchestrator=False) == "Mine."


def test_the_opening_has_the_question_and_one_line_on_the_context() -> None:
    messages = prompts.opening(
        "S", description="a str of 3 characters", root_prompt="Why?", user_prologue="Hints"
    )
    assert [m["role"] for m in messages] == ["system", "user", "user"]
    assert (
        messages[1]["content"]
        == "Answer the following: Why?\n\nYour context is a str of 3 characters."
    )
    assert messages[2]["content"] == "Hints"


def test_turns_are_numbered_and_the_first_one_says_look() -> None:
    assert "not looked at the context" in prompts.turn(1, 5)["content"]
    assert prompts.turn(2, 5)["content"] == "Turn 2/5:"
    assert prompts.turn(2, 5, hint="Mind this.")["content"] == "Mind this. Turn 2/5:"


def test_outputs_of_several_blocks_are_numbered() -> None:
    assert prompts.repl_output([("a", ())])["content"] == "REPL output:\na"
    assert prompts.repl_output([("a", ()), ("b", ())])["content"] == (
        "REPL output (block 1):\na\n\nREPL output (block 2):\nb"
    )
