"""The viewer's front end in a real browser, on a page of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from story import CONFIG, Story, a_whole_story, failure, stdout
from viewer_page import ViewerPage, many, whole

from rlm.trajectory import Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

HOSTILE = (
    "<img src=x onerror='window.hurt=1'>",
    "<script>window.hurt=1</script>",
    "[click](javascript:window.hurt=1)",
    "<button data-commandlinker-command='notebook:delete-cell'>x</button>",
    "![remote](http://127.0.0.1:9/remote.png)",
    "<svg onload='window.hurt=1'></svg>",
    "<iframe srcdoc='<script>parent.hurt=1</script>'></iframe>",
    "`<b onclick=window.hurt=1>`",
)

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)


def bundle(**data: Any) -> dict[str, Any]:
    mime = {name.replace("_", "/"): value for name, value in data.items()}
    return {"output_type": "display_data", "data": mime, "metadata": {}}


def test_the_answer_and_how_it_ended_come_first(viewer: ViewerPage) -> None:
    viewer.show(whole())
    text = viewer.rendered()
    assert text.startswith("answered\nWho is the narrator?\n\nIshmael")
    assert "1 child run" in text


def test_a_bar_for_each_limit_shows_how_much_of_it_is_used(viewer: ViewerPage) -> None:
    viewer.show(whole())
    bars = viewer.page.get_by_role("meter")
    assert [bar.get_attribute("aria-label") for bar in bars.all()] == [
        "money: $0.0046 of $1.00",
        "tokens: 5,600 of 100,000",
        "time: 12.5 s of 1 min 00 s",
    ]
    assert [bar.get_attribute("aria-valuenow") for bar in bars.all()] == ["0", "6", "21"]
    assert all(bar.is_visible() for bar in bars.all())
    # What is filled says the same to the eye.
    widths = "bar => [bar.querySelector('.rlm-filled'), bar.querySelector('.rlm-track')]"
    widths += ".map(each => each.getBoundingClientRect().width)"
    viewer.page.wait_for_function("() => document.getAnimations().length === 0")
    filled, track = bars.last.evaluate(widths)
    assert filled / track == pytest.approx(12.5 / 60, abs=0.02)


def test_a_limit_that_is_nearly_reached_stands_out(viewer: ViewerPage) -> None:
    story = Story()
    limits = {"max_tokens": 1300, "max_budget": 1.0}
    with story.run(config={**CONFIG, "limits": limits}), story.turn():
        pass
    viewer.show(Trajectory.from_events(story.events))
    assert viewer.page.locator(".rlm-near:visible").all_inner_texts() == ["tokens"]


def test_own_and_subtree_totals_are_side_by_side(viewer: ViewerPage) -> None:
    viewer.show(whole())
    viewer.row("turn 2").click()
    assert (
        "4.0k in, 320 out, $0.0036 in all · 1.2k in, 80 out, $0.0010 its own"
        in viewer.detail.inner_text()
    )
    title = viewer.row("turn 2").locator(".rlm-size").get_attribute("title")
    assert title == "4.0k in, 320 out, $0.0036 in all; 1.2k in, 80 out, $0.0010 its own"
    viewer.row("turn 1").click()  # it called nobody: one figure says it all
    assert "1.2k in, 80 out, $0.0010" in viewer.detail.inner_text()
    assert "its own" not in viewer.detail.inner_text()
    # A run's own is all that its child runs did not take.
    viewer.row("run").click()
    assert "3.9k in, 310 out, $0.0035 its own" in viewer.detail.inner_text()
    table = viewer.detail.get_by_role("row").all_inner_texts()
    assert table[-2:] == [
        "without its child runs\t17\t3.9k\t310\t$0.0035",
        "all\t19\t5.2k\t400\t$0.0046",
    ]


def test_code_is_highlighted(viewer: ViewerPage) -> None:
    story = Story()
    code = "# all\nfor part in range(12):\n    print(llm_query(f'{part}?'))"
    with story.run(), story.turn(), story.cell(code):
        pass
    viewer.show(Trajectory.from_events(story.events))
    viewer.row("for part").click()
    shown = viewer.detail.locator(".rlm-code")
    assert shown.inner_text() == code
    for kind, words in {
        "comment": ["# all"],
        "keyword": ["for", "in"],
        "builtin": ["range", "print"],
        "number": ["12"],
        "helper": ["llm_query"],
        "string": ["f'{part}?'"],
    }.items():
        assert shown.locator(f".rlm-code-{kind}").all_inner_texts() == words
    plain = shown.evaluate("each => getComputedStyle(each).color")
    for span in shown.locator("span").all():
        assert span.evaluate("each => getComputedStyle(each).color") != plain


def test_a_run_that_failed_says_why(viewer: ViewerPage) -> None:
    story = Story()
    error = {"type": "BudgetExceededError", "message": "Budget exceeded: $2 of $1"}
    with story.run(status="limit", answer="a draft", error=error), story.turn():
        pass
    viewer.show(Trajectory.from_events(story.events))
    text = viewer.rendered()
    assert text.startswith("stopped by a limit")
    assert "BudgetExceededError: Budget exceeded: $2 of $1" in text
    assert "Best answer so far:" in text


def test_the_tree_has_every_level(viewer: ViewerPage) -> None:
    viewer.show(whole())
    viewer.row("rlm_query").locator(".rlm-twist").click()
    levels = [row.get_attribute("aria-level") for row in viewer.rows.all()]
    assert levels[:3] == ["1", "2", "3"]
    assert "The child looks." in viewer.rendered()
    assert viewer.row("llm_query \u00d7 16").get_attribute("aria-expanded") == "false"


def test_a_turn_shows_its_reply_output_variables_and_prompt(viewer: ViewerPage) -> None:
    viewer.show(whole())
    viewer.row("turn 2").click()
    text = viewer.detail.inner_text()
    for part in ("Now I ask about every part.", "done", "parts", "['Call me Ishmael.', ...]"):
        assert part in text
    viewer.detail.get_by_text("Prompt: all of it").click()
    viewer.detail.get_by_text("You have a REPL.").wait_for()


def test_search_keeps_what_matches_and_what_is_above(viewer: ViewerPage) -> None:
    viewer.show(whole())
    viewer.page.get_by_role("searchbox").fill("chapter 1")
    viewer.settle()
    labels = [row.get_attribute("aria-label") or "" for row in viewer.rows.all()]
    assert [label.partition(",")[0] for label in labels] == ["run", "turn 2", "cell", "rlm_query"]
    assert "1 found" in viewer.rendered()
    viewer.page.keyboard.press("Escape")
    viewer.settle()
    assert viewer.rows.count() == 9


def test_search_finds_in_what_only_the_kernel_has(viewer: ViewerPage) -> None:
    story = Story()
    with story.run(), story.turn(), story.cell("show()", stdout("x" * 20_000 + " needle")):
        pass
    viewer.show(Trajectory.from_events(story.events))
    viewer.page.get_by_role("searchbox").fill("needle")
    viewer.answer()
    assert "1 found" in viewer.rendered()


@pytest.mark.parametrize(
    ("chip", "expected"), [("Failed", "llm_query"), ("Costly", "turn 1"), ("Slow", "turn 1")]
)
def test_filters_keep_what_failed_cost_most_or_took_longest(
    viewer: ViewerPage, chip: str, expected: str
) -> None:
    viewer.show(whole())
    viewer.page.get_by_role("button", name=chip, exact=True).click()
    viewer.settle()
    assert viewer.page.locator(".rlm-match").filter(has_text=expected).count() >= 1
    assert viewer.rows.count() < 9 or chip != "Failed"


def test_filters_by_kind_and_model(viewer: ViewerPage) -> None:
    viewer.show(whole())
    viewer.page.get_by_label("Kind").select_option("tool")
    viewer.settle()
    assert "1 found" in viewer.rendered()
    viewer.page.get_by_label("Kind").select_option("")
    viewer.page.get_by_label("Model").select_option("gpt-5-nano")
    viewer.settle()
    assert "17 found" in viewer.rendered()


def test_ten_thousand_calls_make_few_elements(viewer: ViewerPage) -> None:
    viewer.show(many(10_000))
    group = viewer.row("llm_query \u00d7 10,000")
    assert viewer.rows.count() == 4
    group.locator(".rlm-twist").click()
    viewer.settle()
    assert viewer.page.locator("[role=treeitem]").count() < 60
    viewer.page.keyboard.press("End")
    assert "Part 0-9999" in viewer.selected
    viewer.page.evaluate("() => { document.querySelector('.rlm-tree').scrollTop = 100_000; }")
    viewer.settle()
    assert viewer.page.locator("[role=treeitem]").count() < 70
    # The row with the focus is still there, out of sight.
    assert viewer.page.evaluate("document.activeElement.getAttribute('role')") == "treeitem"


def test_a_lost_batch_is_requested_again(viewer: ViewerPage) -> None:
    trajectory = whole()
    viewer.show(Trajectory.from_events(trajectory.events[:3]))
    viewer.answer()
    feed = viewer.feeds[0]
    feed.trajectory = trajectory
    feed.next = 10
    viewer.pump()
    assert "Ishmael" not in viewer.rendered()
    [hello] = viewer.answer()
    assert hello == {"kind": "hello", "from": {"0": {"epoch": 0, "next": 3}}}
    feed.rewind(0, 3)
    viewer.pump()
    assert "Ishmael" in viewer.rendered()
    assert "19 sub-calls" in viewer.rendered()


def test_batches_that_come_twice_count_once(viewer: ViewerPage) -> None:
    viewer.show(whole())
    before = viewer.rendered()
    viewer.feeds[0].rewind(0, 4)
    viewer.pump()
    assert viewer.rendered() == before


def test_a_reopened_page_reads_what_is_there(viewer: ViewerPage) -> None:
    viewer.show(whole())
    viewer.page.evaluate(
        """async () => {
            window.leave(); place.replaceChildren();
            const again = new model.constructor({...model.state});
            await widget.initialize({model: again});
            await widget.render({model: again, el: place});
            window.model = again;
        }"""
    )
    viewer.settle()
    assert "Ishmael" in viewer.rendered()
    [hello] = viewer.answer()
    assert hello["from"]["0"]["next"] == len(viewer.feeds[0].trajectory.events)


def test_stop_asks_the_kernel(page: Page, tmp_path: Path) -> None:
    viewer = ViewerPage(page)
    viewer.open(tmp_path, _stoppable=True)
    viewer.show(Trajectory.from_events(a_whole_story().events[:9]))
    viewer.answer()
    page.get_by_role("button", name="Stop").click()
    assert viewer.answer() == [{"kind": "stop"}]
    assert "stopping" in viewer.rendered()
    # A kernel in a blocking cell does not hear it: say what does stop the run.
    page.get_by_text("use the notebook's ■ button").wait_for()
    page.evaluate("() => model.tell('msg:custom', {kind: 'stopping'})")
    page.get_by_text("use the notebook's ■ button").wait_for(state="hidden")


def test_a_long_body_is_loaded_when_it_is_looked_at(viewer: ViewerPage) -> None:
    story = Story()
    with story.run(), story.turn(), story.cell("show()", stdout("x" * 1_000_000 + "END")):
        pass
    viewer.show(Trajectory.from_events(story.events))
    viewer.answer()
    viewer.row("show()").click()
    assert "are being loaded" in viewer.detail.inner_text()
    asked = viewer.answer()
    assert [message["kind"] for message in asked] == ["load"]
    assert "are being loaded" not in viewer.detail.inner_text()
    assert "980 KB more" in viewer.detail.inner_text()
    assert len(viewer.detail.inner_text()) < 30_000


def test_bidi_controls_and_escapes_are_spelled_out(viewer: ViewerPage) -> None:
    story = Story()
    spoof = (
        "access\u202e level\u2066 \u200b \x1b]8;;http://x\x07link\x1b]8;;\x07 \x1b[31mred\x1b[0m"
    )
    with (
        story.run(question=spoof, answer=spoof),
        story.turn(spoof),
        story.cell(f"# {spoof}\nx = '{spoof}'", stdout(spoof)),
        story.call(spoof, spoof),
    ):
        pass
    viewer.show(Trajectory.from_events(story.events))
    for row in range(4):
        viewer.rows.nth(row).click()
        viewer.settle()
        shown = viewer.rendered()
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x1b]", shown)
        assert "\\u202e" in shown
    viewer.row("x = ").click()
    assert viewer.detail.locator(".ansi-1").inner_text() == "red"


def test_hostile_text_stays_text_everywhere(viewer: ViewerPage, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    text = "\n".join(HOSTILE)
    story = Story()
    html = bundle(text_html=text, image_svg="<svg onload='window.hurt=1'/>", text_plain=text)
    table = bundle(text_html=f"<table><tr><td>{text}</td></tr></table>", text_plain=text)
    error = failure(text, text)
    names = {text: {"type": text, "preview": text}}
    with story.run(question=text, answer=text, model=HOSTILE[0]):
        with (
            story.turn(text, messages=({"role": text, "content": text},), final=text),
            story.cell(text, stdout(text), html, table, error, variables=names, status="error"),
        ):
            with story.call(text, text, model=HOSTILE[1]):
                pass
            with story.call({"args": [text]}, text, kind="tool", model=text, error=text):
                pass
        story.note(text)
    viewer.show(Trajectory.from_events(story.events))
    page.get_by_role("button", name="Timeline").click()
    for number in range(viewer.rows.count()):
        viewer.rows.nth(number).click()
        viewer.settle()
        for closed in viewer.detail.locator("details:not([open]) > summary").all():
            closed.click()
    active = "script, iframe, a, img, b, object, embed, style, link, [onclick], [onload]"
    active += ", [data-commandlinker-command]"
    assert page.locator(".rlm-viewer").locator(active).count() == 0
    assert page.evaluate("() => window.hurt") is None
    assert [url for url in asked if not url.startswith(("blob:", "data:"))] == []


def test_images_and_tables_are_shown(viewer: ViewerPage) -> None:
    head = "<thead><tr><th></th><th>city</th></tr></thead>"
    frame = f"<table>{head}<tr><td>0</td><td>Oslo</td></tr></table>"
    story = Story()
    with (
        story.run(),
        story.turn(),
        story.cell(
            "df",
            bundle(image_png=PIXEL, text_plain="<Figure>"),
            bundle(text_html=frame, text_plain="  city\n0 Oslo"),
            bundle(image_png="not base64 <img>", text_plain="a lie"),
        ),
    ):
        pass
    viewer.show(Trajectory.from_events(story.events))
    viewer.row("cell").click()
    assert viewer.page.evaluate("() => document.querySelector('.rlm-image').naturalWidth") == 1
    assert viewer.detail.get_by_role("cell", name="Oslo").count() == 1
    assert viewer.page.locator(".rlm-image").count() == 1
    assert "a lie" in viewer.detail.inner_text()


def test_two_runs_are_side_by_side(page: Page, tmp_path: Path) -> None:
    viewer = ViewerPage(page)
    viewer.open(tmp_path, _compared=True)
    other = Story("o")
    with other.run(answer="Ahab"):
        with other.turn(), other.cell("print(len(context))\n1/0", stdout("10485760\n")):
            pass
        with other.turn(number=2), other.cell("answer['content'] = 'Ahab'", stdout("other\n")):
            pass
    viewer.show(whole())
    viewer.show(Trajectory.from_events(other.events), track=1)
    text = viewer.rendered()
    assert "Ishmael" in text
    assert "Ahab" in text
    assert viewer.page.locator(".rlm-tag").all_inner_texts() == ["same code", "differs"]
    assert viewer.page.get_by_role("meter").count() == 0  # no room for bars here
    viewer.page.locator("[data-turn='1']").click()
    assert "answer['content'] = 'Ahab'" in viewer.page.locator(".rlm-line-new").all_inner_texts()[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark(
    scheme: str, new_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = new_page(color_scheme=scheme)
    viewer = ViewerPage(page)
    viewer.open(tmp_path, dark=scheme == "dark")
    viewer.show(whole())
    contrasts = page.evaluate(
        """() => {
            const rgb = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
            const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
            const luminance = (color) => {
                const [r, g, b] = rgb(color).map(v => linear(v / 255));
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const card = document.querySelector('.rlm-viewer');
            const back = luminance(getComputedStyle(card).backgroundColor);
            const texts = '.rlm-name, .rlm-text, .rlm-time, .rlm-quiet, .rlm-figures';
            return [...document.querySelectorAll(texts)].map(e => {
                const front = luminance(getComputedStyle(e).color);
                return (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
            });
        }"""
    )
    assert min(contrasts) >= 4.5


def test_it_does_not_move_when_reduced_motion_is_preferred(
    new_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = new_page(reduced_motion="reduce")
    viewer = ViewerPage(page)
    viewer.open(tmp_path)
    viewer.show(Trajectory.from_events(a_whole_story().events[:9]))
    moving = page.evaluate(
        "() => document.getAnimations().filter(a => a.playState === 'running').length"
    )
    assert moving == 0


def test_code_and_texts_can_be_copied(viewer: ViewerPage) -> None:
    viewer.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    viewer.show(whole())
    viewer.row("print(len").click()
    viewer.detail.get_by_label("Copy").first.click()
    viewer.detail.get_by_label("Copied").first.wait_for()
    assert (
        viewer.page.evaluate("() => navigator.clipboard.readText()") == "print(len(context))\n1/0"
    )
