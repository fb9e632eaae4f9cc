"""The value of a `%%rlm` cell: the answer, shown as Markdown above a line of time and cost."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, Self

from rlm.redaction import Redaction
from rlm.render.outline import summary
from rlm.render.safe_markdown import plain_as_markdown, safe_markdown
from rlm.render.safe_text import one_line, safe_text

if TYPE_CHECKING:
    from rlm.trajectory import RunNode


class Answer(str):
    """A model's answer: a `str` with a rich repr.

    The reprs are safe to show on a trusted page and in a terminal; the string itself is as the
    model wrote it. It pickles as a plain `str`.

    Attributes:
        footer: The run's model, turns, tokens, cost and time, in one line.
    """

    __slots__ = ("footer",)

    footer: str

    def __new__(cls, text: str, root: RunNode | None = None) -> Self:
        """Make an answer from a model's text and its run."""
        answer = super().__new__(cls, text)
        answer.footer = "" if root is None else summary_line(root)
        return answer

    def _repr_markdown_(self) -> str:
        shown = safe_markdown(_public(self))
        return f"{shown}\n\n---\n\n{plain_as_markdown(self.footer)}\n" if self.footer else shown

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 - IPython's protocol
        text = _public(self)
        printer.text(_in_colours(text) if _on_a_terminal() else safe_text(text).rstrip("\n"))
        if self.footer:
            printer.text(f"\n\n{self.footer}")

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def summary_line(root: RunNode) -> str:
    """Return a run's model, turns, sub-calls, tokens, cost and time so far in one line."""
    figures = summary(root)
    if root.finished is not None and root.finished.status == "answered":
        figures = figures.removeprefix("answered · ")
    return f"{one_line(root.started.model, 60)} · {figures}"


def _public(text: str) -> str:
    """Return a text without secrets: a notebook saves what it shows."""
    return Redaction().text(text)


def _on_a_terminal() -> bool:
    """Whether IPython prints to a terminal: a kernel's output is saved in the notebook too."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or getattr(shell, "kernel", None) is not None:
        return False
    return bool(getattr(sys.stdout, "isatty", lambda: False)())


def _in_colours(text: str) -> str:
    """Return Markdown rendered with terminal colours."""
    from rich.console import Console
    from rich.markdown import Markdown

    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=min(Console().width, 100))
    # rich would write hyperlinks as escape sequences with the model's addresses, and drop HTML:
    # safe_markdown escapes HTML first, so that it stays visible.
    console.print(Markdown(safe_markdown(text), hyperlinks=False))
    return written.getvalue().rstrip("\n")
