"""A run's notebook in JupyterLab: its contents are the tree, nothing acts, saving loses nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hostile import PAYLOADS
from story import Story, a_whole_story, failure, stdout

from rlm.formats.notebook.read import read_notebook
from rlm.formats.notebook.write import notebook_bytes
from rlm.trajectory import Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_app import JupyterServer
    from playwright.sync_api import Page

_CONTENTS = """
async () => {
    const app = window.jupyterapp;
    app.shell.activateById('table-of-contents');
    const items = () => [...document.querySelectorAll('.jp-tocItem-content')];
    while (!items().length) await new Promise(resolve => setTimeout(resolve, 50));
    return items().map(item => item.textContent.trim());
}
"""


def a_hard_story() -> Story:
    """Tell a run whose values a browser, a server or JSON would like to change."""
    hard = ["\ud800", 1 << 60, 1.0, "a\r\nb", {"__proto__": 1, "10": 2, "9": 3}, "é\u2028"]
    story = Story()
    with (
        story.run(question="Does it survive?", answer="Yes."),
        story.turn("I try.\n```repl\nloop()\n```"),
        story.cell(
            "loop()",
            stdout("10%\r50%\r100%\n"),
            stdout("more\n"),
            failure(),
            {
                "output_type": "display_data",
                "data": {"text/html": "<b>x</b><script>"},
                "metadata": {},
            },
        ),
        story.call(hard, hard),
    ):
        pass
    return story


def shown(jupyter: JupyterServer, name: str, story: Story) -> str:
    """Write a run's notebook for a plain Python kernel; return its name."""
    notebook = json.loads(notebook_bytes(Trajectory.from_events(story.events)))
    notebook["metadata"]["kernelspec"]["name"] = "python3"
    (jupyter.root / name).write_text(json.dumps(notebook))
    return name


def test_the_table_of_contents_is_the_tree(
    notebook: Callable[..., Any], jupyter: JupyterServer
) -> None:
    opened = notebook(shown(jupyter, "tree.ipynb", a_whole_story()))
    assert opened.page.evaluate(_CONTENTS) == [
        "Who is the narrator?",
        "Turn 1",
        "Turn 2",
        "Child: Read chapter 1",
        "Turn 1",
    ]


@pytest.mark.parametrize("story", [a_whole_story(), a_hard_story()], ids=["whole", "hard"])
def test_saving_in_lab_loses_nothing(
    notebook: Callable[..., Any], jupyter: JupyterServer, story: Story
) -> None:
    name = shown(jupyter, f"{id(story)}.ipynb", story)
    before = (jupyter.root / name).read_bytes()
    opened = notebook(name)
    opened.page.evaluate("() => { window.panel.content.model.setMetadata('touched', 1); }")
    opened.save()
    after = (jupyter.root / name).read_bytes()
    assert after != before
    assert json.loads(after)["metadata"]["touched"] == 1
    found = read_notebook(after)
    assert found.trajectory.events == tuple(story.events)
    assert found.edited == ()


def test_nothing_that_a_model_says_acts_in_lab(
    notebook: Callable[..., Any], jupyter: JupyterServer, page: Page
) -> None:
    text = "\n\n".join(payload.replace("alert(1)", "window.harmed=1") for payload in PAYLOADS)
    story = Story()
    bundle = {"text/html": text, "text/plain": text, "image/svg+xml": text}
    with (
        story.run(question=text, answer=text),
        story.turn(text),
        story.cell("x", {"output_type": "display_data", "data": bundle, "metadata": {}}),
        story.call(text, text),
    ):
        pass
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened = notebook(shown(jupyter, "hostile.ipynb", story))
    opened.page.evaluate(
        "async () => { for (const c of window.panel.content.widgets) { await c.ready; } }"
    )
    opened.execute("notebook:trust")
    assert opened.page.evaluate("() => window.harmed") is None
    assert [url for url in asked if "evil" in url] == []
    links = opened.page.evaluate(
        "() => [...document.querySelectorAll('.jp-Notebook a')].map(a => a.getAttribute('href'))"
    )
    assert [link for link in links if not link.startswith(("http", "mailto:", "#"))] == []
