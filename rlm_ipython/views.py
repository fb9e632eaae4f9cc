"""Shows a run while it goes on and when it is over, in a notebook or a terminal."""

from __future__ import annotations

import html
import threading
import time
from typing import TYPE_CHECKING, Protocol

from IPython.display import display

from rlm.render.progress import running
from rlm.render.view import as_output
from rlm.trajectory import Redaction

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rlm.api.run_handle import RunHandle
    from rlm.events import Event
    from rlm.trajectory import Trajectory


INTERVAL = 0.25
"""Seconds between two updates of the output; a front end cannot show more."""

_STYLE = "margin:0;font-size:90%;white-space:pre-wrap"


class View(Protocol):
    """Shows one run from start to end, on the thread that waits for it."""

    def tick(self) -> None:
        """Show how far the run is; called a few times a second."""
        ...

    def end(self) -> None:
        """Show how the run ended, in one line that opens to the whole run."""
        ...


def in_notebook(shell: InteractiveShell) -> bool:
    """Whether the shell's output goes to a Jupyter front end."""
    return getattr(shell, "kernel", None) is not None


def view_of(
    handle: RunHandle, shell: InteractiveShell, *, widget: bool, step: bool = False
) -> View:
    """Start to show a run where the user looks.

    `widget` says whether the front end shows widgets, which a kernel cannot find out. With `step`
    the user is asked in between, so nothing may redraw the terminal.
    """
    if not in_notebook(shell):
        return InTerminal(handle, moving=not step)
    if not widget:
        return NotebookOutput(handle)
    try:
        from rlm_ipython.viewer import LiveView
    except ImportError:  # anywidget comes with the extra `notebook`
        return NotebookOutput(handle)
    return LiveView(handle)


def show(trajectory: Trajectory, shell: InteractiveShell, *, widget: bool) -> None:
    """Show a recorded run once; `widget` as for `view_of`."""
    if widget or not in_notebook(shell):
        trajectory.view()
        return
    display(as_output(trajectory), raw=True)


class Silent:
    """Shows nothing."""

    def tick(self) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""


class InTerminal:
    """The live tree of `verbose=True`, without the answer, which is the cell's value.

    With `moving` it also shows the work in progress, below what is finished.
    """

    def __init__(self, handle: RunHandle, *, moving: bool) -> None:
        from rich.console import Console

        from rlm.logger.console import ConsoleReader

        console = Console(
            stderr=True,
            force_jupyter=False,
            force_terminal=None if moving else False,
            highlight=False,
        )
        self._reader = ConsoleReader(console, answer=False)
        self._handle = handle
        self._printed = threading.Event()
        handle.add_reader(self)

    def on_event(self, event: Event) -> None:
        """Print an event on the console, and remember when the run's last one is printed."""
        self._reader.on_event(event)
        root = self._handle.trajectory.root
        if event.type == "run_finished" and root is not None and event.id == root.started.id:
            self._printed.set()

    def tick(self) -> None:
        """Do nothing: the console updates itself."""

    def end(self) -> None:
        """Wait until everything is printed, so that the answer comes after it."""
        root = self._handle.trajectory.root
        if root is not None and root.finished is not None:
            self._printed.wait(2.0)
        self._reader.close()


class NotebookOutput:
    """Shows a run in one output of its cell, which it rewrites until the run ends."""

    def __init__(self, handle: RunHandle) -> None:
        self._handle = handle
        self._shown = ""
        self._last = 0.0
        self._display = display(_bundle("starting", "starting"), raw=True, display_id=True)

    def tick(self) -> None:
        """Rewrite the output when something has changed, at most every `INTERVAL`."""
        if time.monotonic() - self._last < INTERVAL:
            return
        root = self._handle.trajectory.root
        lines = [] if root is None else list(running(root))
        text = Redaction().text("\n".join(f"{'  ' * line.level}{line.text}" for line in lines))
        if text and text != self._shown:
            self._shown, self._last = text, time.monotonic()
            self._display.update(_bundle(text, text.partition("\n")[0]), raw=True)

    def end(self) -> None:
        """Leave one line that opens to the whole run, as HTML without scripts for the file."""
        self._display.update(as_output(self._handle.trajectory, folded=True), raw=True)


def _bundle(text: str, line: str) -> dict[str, str]:
    return {"text/html": f'<pre style="{_STYLE}">{html.escape(text)}</pre>', "text/plain": line}
