"""A run in a notebook without widgets: one output, rewritten, and a static tree at the end."""

from __future__ import annotations

import html
import time
from typing import TYPE_CHECKING

from IPython.display import display

from rlm.render.progress import running
from rlm.render.view import as_output
from rlm.trajectory import Redaction

if TYPE_CHECKING:
    from rlm.api.run_handle import RunHandle

INTERVAL = 0.25
"""Seconds between two updates of the output: a front end is sent no more than it can show."""

_STYLE = "margin:0;font-size:90%;white-space:pre-wrap"


class Progress:
    """Shows a run in the output of the cell that asked for it.

    Args:
        handle: The run.
    """

    def __init__(self, handle: RunHandle) -> None:
        self._handle = handle
        self._shown = ""
        self._last = 0.0
        self._display = display(_bundle("starting", "starting"), raw=True, display_id=True)

    def tick(self) -> None:
        """Rewrite the output when something has changed, a few times a second at most."""
        if time.monotonic() - self._last < INTERVAL:
            return
        root = self._handle.trajectory.root
        lines = [] if root is None else list(running(root))
        told = "\n".join(f"{'  ' * line.level}{line.text}" for line in lines)
        text = Redaction().text(told)
        if text and text != self._shown:
            self._shown, self._last = text, time.monotonic()
            self._display.update(_bundle(text, text.partition("\n")[0]), raw=True)

    def end(self) -> None:
        """Leave one line that opens to the whole run: script-free HTML, which stays saved."""
        self._display.update(as_output(self._handle.trajectory, folded=True), raw=True)


def _bundle(text: str, line: str) -> dict[str, str]:
    return {"text/html": f'<pre style="{_STYLE}">{html.escape(text)}</pre>', "text/plain": line}
