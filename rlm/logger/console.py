"""`verbose=True`: prints a run on stderr while it happens."""

from __future__ import annotations

import atexit
import threading
import time
from typing import TYPE_CHECKING

from rlm.events import CellFinished, ModelReply, Note, RunFinished, RunStarted
from rlm.render.outline import Line, cell_lines, note_lines, run_end, run_head, summary, turn_head
from rlm.render.progress import running
from rlm.render.safe_text import safe_text
from rlm.render.view import STYLES
from rlm.trajectory import CellNode, Forest, Redaction, RunNode, TurnNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from rlm.events import Event
    from rlm.trajectory import Trajectory

REFRESH_PER_SECOND = 8

_MARKS = {"code": "│ ", "calls": "↳ ", "error": "! ", "note": "* "}
_ANSWER_LIMIT = 20_000


class ConsoleReader:
    """Prints what happened, line by line, and on a terminal also what is going on.

    On a terminal, finished steps scroll by and stay; below them a few lines are drawn again and
    again until the run ends. Elsewhere (a pipe, a notebook) there are only the lines of finished
    steps. While several runs go on at once, each line begins with its run's number.
    """

    def __init__(self, console: Console | None = None, *, answer: bool = True) -> None:
        """Choose the console; nothing is printed before the first event.

        Args:
            console: Where to print; a new one on stderr when None.
            answer: Whether to print how a run ended: its answer or error, its usage and time.
        """
        self._console = console
        self._answer = answer
        self._forest = Forest()
        self._redaction = Redaction()  # What is printed in a notebook stays in its file.
        self._numbers: dict[str, int] = {}
        self._several = False
        self._live: Live | None = None
        self._refresher: threading.Thread | None = None
        self._stop = threading.Event()
        self._frame: RenderableType | None = None
        self._frame_time = 0.0
        self._lock = threading.RLock()

    def on_event(self, event: Event) -> None:
        """Take one event.

        Args:
            event: Of any run; several runs may share the reader.
        """
        with self._lock:
            event = self._redaction(event)
            tree = self._forest.add(event)
            root = None if tree is None else tree.root
            # Children are printed with the cell that started them, so their lines never mix.
            if tree is None or root is None or event.run_id != root.started.run_id:
                return
            if isinstance(event, RunStarted):
                self._begin(root)
            lines = list(_lines(event, tree))
            if lines:
                self._print(root, lines)
            if isinstance(event, RunFinished):
                self._end(tree, root)

    def on_tree(self, tree: Trajectory) -> None:
        """Use the delivery's tree of a run that begins.

        Args:
            tree: It grows with the run.
        """
        with self._lock:
            self._forest.share(tree)

    def close(self) -> None:
        """Remove the moving lines from the terminal; safe to call again."""
        with self._lock:
            live, self._live = self._live, None
            if live is not None and self._refresher is not None:
                self._stop.set()
                self._refresher.join()
                live.stop()
                atexit.unregister(self.close)

    def _begin(self, root: RunNode) -> None:
        self._numbers[root.started.run_id] = max(self._numbers.values(), default=0) + 1
        self._several = self._several or len(self._forest.trees) > 1
        console = self._the_console()
        if self._live is None and console.is_terminal:
            from rich.live import Live

            # We redirect no streams: other threads print to them, too. The thread is ours,
            # because rich's may outlive the display.
            self._live = Live(
                console=console,
                get_renderable=self._moving,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
            self._stop = threading.Event()
            self._refresher = threading.Thread(
                target=_refresh, args=(self._live, self._stop), name="rlm-console", daemon=True
            )
            self._refresher.start()
            atexit.register(self.close)

    def _end(self, tree: Trajectory, root: RunNode) -> None:
        self._forest.drop(tree)
        self._frame = None
        if not self._forest.trees:
            self.close()
        self._print_end(root)
        self._numbers.pop(root.started.run_id, None)
        self._several = bool(self._forest.trees) and self._several

    def _print_end(self, root: RunNode) -> None:
        if not self._answer:
            return
        console = self._the_console()
        if not console.is_terminal:
            self._print(root, list(run_end(root)))
            return
        from rich.panel import Panel
        from rich.text import Text

        finished = root.finished
        assert finished is not None
        if errors := [line for line in run_end(root) if line.role == "error"]:
            self._print(root, errors)
        if finished.answer is not None:
            good = finished.status in {"answered", "exhausted"}
            answer = safe_text(finished.answer[:_ANSWER_LIMIT])
            if len(finished.answer) > _ANSWER_LIMIT:
                answer += f"\n… {len(finished.answer) - _ANSWER_LIMIT:,} more characters"
            title = f"{self._tag(root)}{'answer' if good else 'partial answer'}"
            style = "green" if good else "yellow"
            panel = Panel(Text(answer), title=title, title_align="left", border_style=style)
            console.print(panel)
        self._print(root, [Line(0, "run", summary(root))])

    def _print(self, root: RunNode, lines: Iterable[Line]) -> None:
        from rich.text import Text

        # One print for all lines: rich draws the live display again after each.
        text = Text("\n").join(self._text(root, line) for line in lines)
        self._the_console().print(text, soft_wrap=True)

    def _moving(self) -> RenderableType:
        """Return the moving lines: called by our refreshing thread, and after each print."""
        from rich.console import Group

        now = time.monotonic()
        if self._frame is not None and now - self._frame_time < 1 / REFRESH_PER_SECOND:
            return self._frame
        # Without our lock: nodes only grow, and a thread that prints holds the display's lock.
        roots = [t.root for t in list(self._forest.trees.values()) if t.root is not None]
        room = max(3, (self._the_console().height - 2) // max(len(roots), 1))
        rows: list[Text] = []
        for root in roots:
            lines = list(running(root))
            if len(lines) > room:
                lines = [*lines[: room - 1], lines[-1]]
            for line in lines:
                text = self._text(root, line)
                text.no_wrap, text.overflow = True, "ellipsis"
                rows.append(text)
        self._frame, self._frame_time = Group(*rows), now
        return self._frame

    def _text(self, root: RunNode, line: Line) -> Text:
        from rich.text import Text

        head = f"{self._tag(root)}{'  ' * line.level}{_MARKS.get(line.role, '')}"
        # Text, not markup: a model's "[red]" stays what it is.
        return Text.assemble((head, "dim"), (line.text, STYLES[line.role]))

    def _tag(self, root: RunNode) -> str:
        return f"#{self._numbers.get(root.started.run_id, 0)} " if self._several else ""

    def _the_console(self) -> Console:
        if self._console is None:
            from rich.console import Console

            # In a notebook rich would publish HTML: we want plain lines.
            self._console = Console(stderr=True, force_jupyter=False, highlight=False)
        return self._console


def _refresh(live: Live, stop: threading.Event) -> None:
    """Draw the moving part again and again until `stop` is set or stderr is closed."""
    while not stop.wait(1 / REFRESH_PER_SECOND):
        try:
            live.refresh()
        except (OSError, ValueError):  # stderr was closed
            return


def _lines(event: Event, tree: Trajectory) -> Iterable[Line]:
    """Return the lines to print for an event of a root run."""
    match event, tree.node(event.id):
        case RunStarted(), RunNode() as run:
            return run_head(run)
        case ModelReply(purpose="turn"), TurnNode() as turn:
            return turn_head(turn, 1)
        case CellFinished(), CellNode() as cell:
            return cell_lines(cell, 2)
        case Note(), _ if not isinstance(tree.node(event.parent_id or ""), CellNode):
            return note_lines([event], 1)
        case _:
            return ()
