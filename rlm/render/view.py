"""Shows a trajectory: as a tree in a terminal, in the viewer or as HTML in a notebook."""

from __future__ import annotations

import importlib
import sys
from html import escape
from typing import TYPE_CHECKING, Any

from rlm.redaction import Redaction
from rlm.render.outline import outline, summary
from rlm.render.safe_markdown import plain_as_markdown, safe_markdown
from rlm.trajectory import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.tree import Tree

    from rlm.render.outline import Line
    from rlm.trajectory import Trajectory


STYLES = {
    "run": "bold",
    "turn": "bold cyan",
    "prose": "italic",
    "code": "green",
    "output": "dim",
    "error": "red",
    "calls": "magenta",
    "answer": "bold green",
    "note": "yellow",
}
"""The rich style of each role of a line."""


def show(trajectory: Trajectory) -> None:
    """Show a trajectory where the user is.

    In a notebook that is the viewer, when `anywidget` is installed (the extra `notebook`), and
    below it one line that opens to the same in HTML: the viewer is gone when the notebook is
    opened again, the HTML is not. Elsewhere it prints a tree.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or getattr(shell, "kernel", None) is None:
        from rich import print as rich_print

        rich_print(as_tree(redacted(trajectory)))
        return
    from IPython.display import display

    viewer = _viewer(trajectory)
    if viewer is not None:
        display(viewer)  # type: ignore[no-untyped-call]
    display(as_output(trajectory, folded=viewer is not None), raw=True)  # type: ignore[no-untyped-call]


def as_output(trajectory: Trajectory, *, folded: bool = False) -> dict[str, str]:
    """Return a trajectory as a mime bundle that needs no widget and runs nothing.

    With `folded` it is one line that opens to the whole.
    """
    from rlm.render.page import fragment

    trajectory = redacted(trajectory)  # The notebook's file keeps it.
    line = "no run yet" if trajectory.root is None else summary(trajectory.root)
    html = fragment(trajectory)
    if folded:
        html = f"<details><summary>{escape(line)}</summary>{html}</details>"
    return {"text/html": html, "text/plain": line}


def as_tree(trajectory: Trajectory) -> Tree:
    """Return a trajectory as a rich tree, for `rich.print`."""
    from rich.text import Text
    from rich.tree import Tree

    if trajectory.root is None:
        return Tree(Text("no run yet", style="dim"))
    tree: Tree | None = None
    branches: list[Tree] = []
    for block in _blocks(outline(trajectory.root)):
        text = Text("\n").join(Text(line.text, style=STYLES[line.role]) for line in block)
        level = block[0].level
        if tree is None:
            tree = Tree(text, guide_style="dim")
            branches = [tree]
            continue
        del branches[max(level, 1) :]
        branches.append(branches[-1].add(text))
    assert tree is not None
    return tree


def as_text(trajectory: Trajectory) -> str:
    """Return a trajectory as plain lines."""
    if trajectory.root is None:
        return "no run yet\n"
    return "".join(f"{'  ' * line.level}{line.text}\n" for line in outline(trajectory.root))


def answer_as_markdown(answer: str, trajectory: Trajectory | None = None) -> str:
    """Return an answer as Markdown, and below it the run's summary: a result's Markdown repr."""
    answer = Redaction().text(answer)
    if trajectory is None or trajectory.root is None:
        return safe_markdown(answer)
    footer = plain_as_markdown(summary(trajectory.root))
    return f"{safe_markdown(answer)}\n\n---\n\n{footer}\n"


def _blocks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """Yield neighbouring lines of the same role and level together."""
    block: list[Line] = []
    for line in lines:
        if block and (block[-1].role, block[-1].level) != (line.role, line.level):
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _viewer(trajectory: Trajectory) -> Any:
    """Return the viewer's widget; None when its packages are not installed."""
    try:
        # One of the two doors upwards (the notebook package is built on this one).
        viewer = importlib.import_module("rlm_ipython.viewer")
    except ImportError:
        return None
    return viewer.TrajectoryViewer(trajectory)
