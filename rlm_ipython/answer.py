"""The value of a `%%rlm` cell: the answer, shown as Markdown with what it took."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, Self

from rlm.render.safe_markdown import plain_as_markdown, safe_markdown
from rlm.render.safe_text import one_line, safe_text

if TYPE_CHECKING:
    from rlm.trajectory import RunNode


class Answer(str):
    """A model's answer: a string in every way, with a rich repr.

    What is shown is made safe for a page that trusts it, and for a terminal; the string itself
    is as the model wrote it. It pickles as a plain `str`.

    Attributes:
        footer: What the run took, in one line.
    """

    __slots__ = ("footer",)

    footer: str

    def __new__(cls, text: str, root: RunNode | None = None) -> Self:
        """Make an answer.

        Args:
            text: As the model wrote it.
            root: The run that brought it.
        """
        answer = super().__new__(cls, text)
        answer.footer = "" if root is None else took(root)
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


def took(root: RunNode) -> str:
    """Return what a run took, in one line: model, turns, sub-calls, tokens, cost, time.

    Args:
        root: Finished or not.
    """
    from rlm.render.outline import summary

    told = summary(root)
    if root.finished is not None and root.finished.status == "answered":
        told = told.removeprefix("answered · ")
    return f"{one_line(root.started.model, 60)} · {told}"


def _public(text: str) -> str:
    """Return a text without secrets: what a notebook shows stays in its file."""
    from rlm.trajectory import Redaction

    return Redaction().text(text)


def _on_a_terminal() -> bool:
    """Whether IPython prints to a terminal itself; a kernel's text goes into files as well."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or getattr(shell, "kernel", None) is not None:
        return False
    return bool(getattr(sys.stdout, "isatty", lambda: False)())


def _in_colours(text: str) -> str:
    """Return Markdown as a terminal shows it best."""
    from rich.console import Console
    from rich.markdown import Markdown

    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=min(Console().width, 100))
    # Links would be escape sequences with the model's own addresses in them; HTML is left out by
    # rich, but what the model wrote is to be seen.
    console.print(Markdown(safe_markdown(text), hyperlinks=False))
    return written.getvalue().rstrip("\n")
