"""A trajectory to look at: as a tree in a terminal, as Markdown in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlm.logger.outline import outline, summary
from rlm.logger.safe_markdown import fenced, plain_as_markdown, safe_markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.tree import Tree

    from rlm.logger.outline import Line
    from rlm.trajectory import Trajectory


def as_tree(trajectory: Trajectory) -> Tree:
    """Return a trajectory as a rich tree, for `rich.print`.

    Args:
        trajectory: Finished or not.
    """
    from rich.text import Text  # noqa: PLC0415  (rich is loaded only for those who look)
    from rich.tree import Tree  # noqa: PLC0415

    from rlm.logger.console import STYLES  # noqa: PLC0415  (it comes with rich)

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
    """Return a trajectory as plain lines.

    Args:
        trajectory: Finished or not.
    """
    if trajectory.root is None:
        return "no run yet\n"
    return "".join(f"{'  ' * line.level}{line.text}\n" for line in outline(trajectory.root))


def as_markdown(trajectory: Trajectory) -> str:
    """Return a whole trajectory as Markdown, safe on a page that trusts it.

    Args:
        trajectory: Finished or not.
    """
    run = trajectory.root
    if run is None:
        return "*no run yet*"
    parts: list[str] = []
    for block in _blocks(line for line in outline(run) if line.role != "answer"):
        role, text = block[0].role, "\n".join(line.text for line in block)
        if role == "code":
            parts.append(fenced(text, "python"))
        elif role in {"output", "error"}:
            parts.append(fenced(text, "text"))
        elif role == "turn":
            # Markdown has no indentation to show that a turn is a child's.
            child = "↳ " * (block[0].level > 1)
            parts.append(f"{child}**{plain_as_markdown(text)}**")
        else:
            parts.append("\\\n".join(plain_as_markdown(line.text) for line in block))
    if run.answer is not None:
        parts.append(f"---\n\n{safe_markdown(run.answer)}")
    return "\n\n".join(parts) + "\n"


def answer_as_markdown(answer: str, trajectory: Trajectory | None = None) -> str:
    """Return an answer as Markdown with a line on what it took, for a result's Markdown repr.

    Args:
        answer: The model's.
        trajectory: The run that brought it.
    """
    if trajectory is None or trajectory.root is None:
        return safe_markdown(answer)
    footer = plain_as_markdown(summary(trajectory.root))
    return f"{safe_markdown(answer)}\n\n---\n\n{footer}\n"


def _blocks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """Yield neighbouring lines that are of one role and level together."""
    block: list[Line] = []
    for line in lines:
        if block and (block[-1].role, block[-1].level) != (line.role, line.level):
            yield block
            block = []
        block.append(line)
    if block:
        yield block
