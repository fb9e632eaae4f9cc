"""The console tells a run to people, live on a terminal and in plain lines elsewhere."""

from __future__ import annotations

import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from story import Story, a_whole_story, failure, stdout

from rlm import ModelUsageSummary, UsageSummary
from rlm.logger.console import ConsoleReader
from rlm.render.outline import dollars, outline, seconds, usage_text
from rlm.render.progress import running
from rlm.render.view import answer_as_markdown, as_output, as_text, as_tree
from rlm.trajectory import RunNode, Trajectory

WHOLE = """\
gpt-5-mini · context: a str of 10,485,760 characters · local
  “Who is the narrator?”
  turn 1/30 · 1.2 s · 1,200 tokens in, 80 out · $0.001
    I look at it first.
    │ print(len(context))
    │ 1/0
      10485760
      ! Traceback (most recent call last)
      ! ValueError: no
  turn 2/30 · 1.2 s · 1,200 tokens in, 80 out · $0.001
    Now I ask **about** every part.
    │ parts = [context[i:i+1000] for i in range(0, len(context), 1000)]
    │ sums = llm_query_batched(parts)
    │ answer['ready'] = True
      ↳ llm_query x 16 · gpt-5-nano · 3.9 s · 1,500 tokens in, 150 out · $0.0015 · \
1 failed: 429 too many requests
      ↳ find · 0.1 s
      ↳ rlm_query · gpt-5-mini · 1.2 s · 1 turn “Read chapter 1”
        turn 1/30 · 1.2 s · 1,200 tokens in, 80 out · $0.001
          The child looks.
          │ answer['ready'] = True
            ↳ llm_query · gpt-5-nano · 0.1 s · 100 tokens in, 10 out · $0.0001
      done
  * restart: The kernel died and was restarted.
answer: Ishmael
answered · 3 turns · 19 sub-calls · 1 child · 5,200 tokens in, 400 out · $0.0046 · 12.5 s
"""


def plain(*stories: Story) -> str:
    file = io.StringIO()
    reader = ConsoleReader(Console(file=file, force_jupyter=False, highlight=False))
    for story in stories:
        for event in story.events:
            reader.on_event(event)
    reader.close()
    return file.getvalue()


def on_a_terminal(*stories: Story) -> str:
    """Return all that was sent to a terminal."""
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=True, width=100, force_jupyter=False, highlight=False
    )
    reader = ConsoleReader(console)
    for story in stories:
        for event in story.events:
            reader.on_event(event)
    reader.close()
    return file.getvalue()


def root_of(events: Story) -> RunNode:
    root = Trajectory.from_events(events.events).root
    assert root is not None
    return root


def test_without_a_terminal_a_run_is_printed_in_plain_lines() -> None:
    assert plain(a_whole_story()) == WHOLE


def test_a_finished_trajectory_is_printed_in_the_same_words() -> None:
    text = as_text(Trajectory.from_events(a_whole_story().events))
    assert text.split() == [w for w in WHOLE.split() if w not in "│↳!*"]


def test_lines_are_printed_as_things_happen() -> None:
    file = io.StringIO()
    reader = ConsoleReader(Console(file=file, force_jupyter=False))
    told = []
    for event in a_whole_story().events:
        reader.on_event(event)
        told.append((event.type, file.getvalue().count("\n")))
    assert told[0] == ("run_started", 2)
    assert dict(told[:3])["model_reply"] == 4
    assert told[-1][1] == WHOLE.count("\n")


def test_on_a_terminal_the_answer_has_a_panel_and_the_terminal_is_restored() -> None:
    before = set(threading.enumerate())
    sent = on_a_terminal(a_whole_story())
    assert "answer" in sent[sent.index("╭") : sent.index("╮")]
    assert "Ishmael" in sent
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l"), "the cursor is shown again"
    assert set(threading.enumerate()) <= before


def test_close_restores_the_terminal_of_a_run_that_never_ends() -> None:
    story = a_whole_story()
    story.events.pop()
    before = set(threading.enumerate())
    sent = on_a_terminal(story)
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")
    assert set(threading.enumerate()) <= before


def test_current_activity_is_shown_in_a_few_lines() -> None:
    story = a_whole_story()
    reply = next(
        e for e in story.events if e.type == "model_reply" and e.text == "The child looks."
    )
    events = story.events[: story.events.index(reply) + 1]
    root = Trajectory.from_events(events).root
    assert root is not None
    lines = ["  " * line.level + line.text for line in running(root, now=events[-1].time + 3)]
    assert lines == [
        "turn 2/30 · running 7.8 s · parts = [context[i:i+1000] for i in range(0, len(context), …",
        (
            "  llm_query x 16 · gpt-5-nano · 3.9 s · 1,500 tokens in, 150 out · $0.0015 · "
            "1 failed: 429 too many requests"
        ),
        "  find · 0.1 s",
        "  rlm_query · gpt-5-mini · 1 running · 1 turn",
        "    turn 1/30 · The child looks.",
        "9.0 s of 60.0 s · $0.0045 of $1.00 · 5,100 tokens in, 390 out · at most 100,000 tokens",
    ]


def test_the_progress_part_can_be_rendered_at_any_moment() -> None:
    trajectory = Trajectory()
    for event in a_whole_story().events:
        trajectory.add(event)
        assert trajectory.root is not None
        assert list(running(trajectory.root))
        assert list(outline(trajectory.root))
        as_tree(trajectory)
        as_output(trajectory)


def test_concurrent_runs_are_told_apart_by_number() -> None:
    one, two = a_whole_story("one"), a_whole_story("two")
    file = io.StringIO()
    reader = ConsoleReader(Console(file=file, force_jupyter=False))
    for pair in zip(one.events, two.events, strict=True):
        for event in pair:
            reader.on_event(event)
    lines = file.getvalue().splitlines()
    assert sum(line.startswith("#1 answer: Ishmael") for line in lines) == 1
    assert sum(line.startswith("#2 answer: Ishmael") for line in lines) == 1
    for number in ("#1", "#2"):
        mine = [line for line in lines if line.startswith(number)]
        assert len(mine) >= WHOLE.count("\n") - 2
    alone = Story("three")
    with alone.run():
        pass
    for event in alone.events:
        reader.on_event(event)
    assert file.getvalue().splitlines()[-1].startswith("answered"), "alone, it needs no number"


def test_many_runs_fit_on_a_small_terminal() -> None:
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=True, width=60, height=20, force_jupyter=False, highlight=False
    )
    reader = ConsoleReader(console)
    for number in range(5):
        for event in a_whole_story(f"run{number}").events[:-1]:
            reader.on_event(event)
    reader.close()
    assert "#5" in file.getvalue()


def test_a_models_text_is_never_markup_and_never_moves_the_cursor() -> None:
    nasty = "[bold red]x[/] [/nope] \x1b[2J\x1b]0;owned\x07 \u202e :smile: \x9b31m"
    story = Story()
    with (
        story.run(question=nasty, answer=nasty, model="m" + nasty),
        story.turn(nasty),
        story.cell(nasty, stdout(nasty), failure(nasty, nasty)),
        story.call(nasty, nasty, error=nasty, model=nasty),
    ):
        story.note(nasty)
    sent = on_a_terminal(story)
    for text in (plain(story), sent):
        assert "[bold red]x[/] [/nope]" in text
        assert ":smile:" in text
        assert "\\u202e" in text
        for attack in ("\x1b[2J", "\x1b]0", "\x07", "\u202e", "\x9b"):
            assert attack not in text


def test_long_code_and_output_are_cut() -> None:
    story = Story()
    long = "\n".join(f"line {number} {'x' * 500}" for number in range(10_000))
    with story.run(answer=long), story.turn(long), story.cell(long, stdout(long), failure()):
        pass
    text = plain(story)
    assert "… 9,987 more lines" in text
    assert "… 9,991 more lines" in text
    assert len(text.splitlines()) < 80
    assert max(map(len, text.splitlines())) < 420


@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [
        ("limit", "so far", ["BudgetExceededError: spent $2", "partial answer: so far", "limit ·"]),
        ("error", None, ["BudgetExceededError: spent $2", "error ·"]),
        ("cancelled", "so far", ["partial answer: so far", "cancelled ·"]),
    ],
)
def test_the_console_says_how_a_run_failed(
    status: str, answer: str | None, says: list[str]
) -> None:
    story = Story()
    error = {"type": "BudgetExceededError", "message": "spent $2"}
    with story.run(status=status, answer=answer, error=error), story.turn():
        pass
    text = plain(story)
    for words in says:
        assert words in text
    assert "Budget" in on_a_terminal(story)


def test_many_children_are_summarised() -> None:
    story = Story()
    with story.run(), story.turn(), story.cell():
        for _ in range(16):
            with story.call("Read", "x", kind="rlm"), story.run(), story.turn("The child looks."):
                pass
    text = plain(story)
    assert "rlm_query x 16" in text
    assert "16 turns" in text
    assert "The child looks." not in text
    assert "16 children" in text


@given(st.lists(st.sampled_from(a_whole_story().events), max_size=40))
def test_events_that_make_no_sense_do_not_break_the_console(events: list[object]) -> None:
    story = Story()
    story.events = events  # type: ignore[assignment]
    plain(story)


def test_a_tree_shows_the_whole_run() -> None:
    console = Console(file=io.StringIO(), width=140, force_jupyter=False, record=True)
    console.print(as_tree(Trajectory.from_events(a_whole_story().events)))
    text = console.export_text()
    assert text.startswith("gpt-5-mini · context")
    assert "├── turn 2/30" in text
    assert "└── answered · 3 turns" in text
    assert "llm_query x 16" in text
    console.print(as_tree(Trajectory()))
    assert "no run yet" in console.export_text()
    assert as_text(Trajectory()) == "no run yet\n"
    assert as_output(Trajectory())["text/plain"] == "no run yet"


def test_an_answer_as_markdown_says_what_it_took() -> None:
    trajectory = Trajectory.from_events(a_whole_story().events)
    answer = answer_as_markdown("**42** <script>", trajectory)
    assert answer.startswith("**42** &lt;script>\n\n---\n\nanswered · 3 turns")
    assert answer_as_markdown("**42**") == "**42**"


def test_a_partly_known_cost_is_shown_as_a_minimum() -> None:
    priced, free = ModelUsageSummary(2, 100, 10, 0.5), ModelUsageSummary(1, 50, 5)
    whole = UsageSummary({"a": priced})
    both = UsageSummary({"a": priced, "b": free})
    assert usage_text(whole) == "100 tokens in, 10 out · $0.5"
    assert usage_text(both) == "150 tokens in, 15 out · at least $0.5"
    assert usage_text(UsageSummary({"b": free})) == "50 tokens in, 5 out"
    assert both.total_cost == 0.5
    assert both.to_dict()["total_cost"] == 0.5
    assert (whole.cost_is_partial, both.cost_is_partial) == (False, True)
    assert UsageSummary.from_dict(both.to_dict()).cost_is_partial


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0004, "0 ms"), (0.08, "80 ms"), (1.23, "1.2 s"), (200, "3 min 20 s"), (7380, "2 h 3 min")],
)
def test_durations_read_as_people_say_them(value: float, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "$0.00"), (1.25, "$1.25"), (0.5, "$0.5"), (0.00031, "$0.00031")]
)
def test_amounts_have_the_digits_that_matter(value: float, text: str) -> None:
    assert dollars(value) == text
