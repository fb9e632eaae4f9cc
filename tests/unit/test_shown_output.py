"""What the model is shown of a cell."""

from __future__ import annotations

from rlm.core.shown_output import model_view
from rlm.render.safe_text import truncate


def stream(text: str, name: str = "stdout") -> dict[str, object]:
    return {"output_type": "stream", "name": name, "text": text}


def test_streams_results_and_errors_come_in_order() -> None:
    what = model_view(
        [
            stream("one\n"),
            stream("warn", "stderr"),
            {"output_type": "execute_result", "data": {"text/plain": "42"}},
            {
                "output_type": "error",
                "ename": "E",
                "evalue": "v",
                "traceback": ["\x1b[31mE: v\x1b[0m"],
            },
        ],
        ["x"],
    )
    assert what.text == "one\nwarn\n42\nE: v\n\nREPL variables: ['x']"


def test_nothing_is_no_output() -> None:
    assert model_view([], []).text == "No output"
    assert model_view([], ["x"]).text == "REPL variables: ['x']"


def test_a_long_output_keeps_both_ends() -> None:
    text = "a" * 15_000 + "b" * 15_000
    assert model_view([stream(text)], []).text == (
        "a" * 10_000 + "... + [10000 chars...]\n" + "b" * 10_000
    )
    head = model_view([stream(text)], [], head_only=True).text
    assert head == "a" * 15_000 + "b" * 5_000 + "... + [10000 chars...]"


def test_the_cut_is_exact_at_the_limit() -> None:
    assert truncate("abc", 3) == "abc"
    assert truncate("abcd", 3, head_only=True) == "abc... + [1 chars...]"
    assert truncate("abcde", 3) == "ab... + [2 chars...]\ne"


def test_variables_are_listed_after_the_cut_and_bounded() -> None:
    what = model_view([stream("x" * 50_000)], [f"v{i}" for i in range(300)]).text
    assert "REPL variables: ['v0', " in what
    assert what.endswith("+ 100]")


def test_remarks_and_dropped_characters_are_shown() -> None:
    text = model_view([], [], dropped=1_234, remarks=["It was stopped."]).text
    assert "1,234 more characters" in text
    assert "It was stopped." in text


def test_images_are_handed_over_and_named() -> None:
    what = model_view([{"output_type": "display_data", "data": {"image/png": "QUJD\n"}}], [])
    assert what.text == "[image/png]"
    assert what.images == ("data:image/png;base64,QUJD",)
