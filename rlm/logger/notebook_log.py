"""Writes a run's notebook while the run goes on."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import unicodedata
import uuid
import weakref
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rlm.errors import ConfigurationError
from rlm.events import RunFinished, RunStarted
from rlm.formats.notebook.sidecar import CONTEXT_SUFFIXES, may_be_kept, new_file, write_context
from rlm.formats.notebook.write import restoring
from rlm.formats.notebook.writer import NotebookWriter
from rlm.redaction import Redaction
from rlm.trajectory.files import replace_file
from rlm.trajectory.forest import Forest
from rlm_kernel.host.process_hooks import begin_anew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.events import Event
    from rlm.trajectory import Trajectory
    from rlm_kernel.context.value import ContextValue

ContextKept = Literal["inline", "file", "hash"]
"""What a log keeps of a context; see `NotebookLog`."""

_INTERVAL = 0.25
"""The least seconds between two writes of a notebook."""

_REST = 50
"""A write is followed by a pause of this many times its duration, so it takes 2 % at most."""

_SLUG = 40
"""How many characters of the question a notebook's name has."""

_AFTER_FAILURE = 5.0
"""Seconds until the next try after the file system refused."""

_log = logging.getLogger("rlm")


@dataclass(slots=True, eq=False)
class OpenNotebook:
    """The notebook of one run that goes on.

    Attributes:
        writer: Makes its content.
        tree: The run's record.
        name: The file's name without the suffix.
        path: The file; None before the first write.
        changed: Whether it has something that the file lacks.
        about: Further entries of its metadata.
        restore: The source of the cell that restores its REPL.
    """

    writer: NotebookWriter
    tree: Trajectory
    name: str
    path: Path | None = None
    changed: bool = False
    about: dict[str, Any] = field(default_factory=dict)
    restore: str | None = None


class NotebookLog:
    """Writes each run to its own notebook, while the run goes on.

    It replaces the whole file soon after each event, but writing takes at most a fiftieth of the
    time. Whenever the process is killed, a valid notebook is left that ends with the last write.
    A file system that refuses is reported once (logger `rlm`), and the run goes on.

    Attributes:
        folder: The notebooks' folder; the first notebook creates it.
        path: The notebook of the run that began last; None before its first write.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        context: ContextKept = "inline",
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """Say where; nothing is written before a run begins.

        Args:
            folder: For notebooks named ``{question}_{YYYY-MM-DD_HH-MM-SS}_{8 hex}.ipynb``.
            context: What is kept of contexts. ``"inline"``: the notebook holds one of at most
                64 KB, and of a bigger one the hash. ``"file"``: bigger text, JSON and bytes also
                go into a file of the folder ``{notebook's name}.rlm``, so that the run can be
                replayed. ``"hash"``: only hash, type, length and the first 200 characters.
            redact: Called with every text before it is kept; returns what may be kept of it. Keys
                and headers of the configuration are never kept anyway.

        Raises:
            ConfigurationError: `context` is none of those, `redact` is not callable, or `folder`
                is a file.
        """
        if context not in get_args(ContextKept):
            allowed = ", ".join(map(repr, get_args(ContextKept)))
            raise ConfigurationError(f"context must be one of {allowed}, not {context!r}.")
        self.folder = Path(folder).absolute()
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigurationError(f"NotebookLog needs a folder: {str(folder)!r} is a file.")
        self.path: Path | None = None
        self._context = context
        self._redact = redact
        self._redaction = Redaction(redact)
        self._begin()
        begin_anew_in_child(self, type(self)._begin)  # noqa: SLF001 - our own

    def on_event(self, event: Event) -> None:
        """Take one event.

        Args:
            event: Of any run; several runs may share the log.
        """
        with self._lock:
            self._waiting.append(self._redaction(event))
            # Many events at a time need a third of the CPU time.
            if isinstance(event, RunStarted | RunFinished):
                self._catch_up()
            if self._timer is None and (self._waiting or self._changed()):
                self._write_soon()

    def on_context(self, run_id: str, value: ContextValue) -> None:
        """Take a run's context, for the file next to its notebook.

        Args:
            run_id: The run.
            value: Its context, as it travels to the kernel.
        """
        with self._lock:
            self._catch_up()
            tree = self._forest.trees.get(run_id)
            book = None if tree is None else self._books.get(id(tree))
            if self._context != "file" or book is None or book.path is None:
                return
            root = book.tree.root
            if root is None or "value" in root.started.context:
                return
            if value.form not in CONTEXT_SUFFIXES:
                return
            # The delivery masks events, but no context.
            if not may_be_kept(value, Redaction(self._redact)):
                self._withheld(book.path)
                return
            try:
                book.about["context_file"] = write_context(value, book.path)
            except OSError as error:
                self._refused(error)
                return
            book.changed = True

    def close(self) -> None:
        """Write everything that is not written yet."""
        with self._lock:
            self._write_all()

    def __repr__(self) -> str:
        return f"NotebookLog({str(self.folder)!r})"

    def _begin(self) -> None:
        """Begin with no run under way: a fork may have copied it in the middle of an event."""
        self._lock = threading.RLock()
        # Its own: the cells must not be ahead of the record, as the delivery's tree may be.
        self._forest = Forest()
        self._books: dict[int, OpenNotebook] = {}
        self._waiting: deque[Event] = deque()
        self._due = 0.0
        self._timer: threading.Timer | None = None
        self._reported = self._warned_of_context = False

    def _catch_up(self) -> None:
        """Take the waiting events; write at once the notebook of a run that begins or ends."""
        while self._waiting:
            event = self._waiting.popleft()
            if self._context == "hash" and isinstance(event, RunStarted):
                kept = {name: item for name, item in event.context.items() if name != "value"}
                event = replace(event, context=kept)
            tree = self._forest.add(event)
            if tree is None:
                continue
            book = self._books.get(id(tree))
            if book is None:
                book = self._books[id(tree)] = OpenNotebook(
                    NotebookWriter(tree), tree, _name(event)
                )
            book.writer.take(event)
            book.changed = True
            if tree.root is not None and tree.root.finished is event:
                self._end(book)
            elif tree.root is not None and event is tree.root.started:
                self._write(book)

    def _changed(self) -> bool:
        return any(book.changed for book in self._books.values())

    def _write_soon(self) -> None:
        wait = self._due - time.monotonic()
        if wait <= 0:
            self._write_all()
            return
        # The thread must not keep the log alive: dropping a log ends its threads.
        timer = threading.Timer(wait, _write_later, (weakref.ref(self),))
        timer.name, timer.daemon = "rlm-notebook", True
        self._timer = timer
        try:
            timer.start()
        except RuntimeError:  # The interpreter is ending: there is no later.
            self._write_all()

    def _write_all(self) -> None:
        """Write every notebook that changed, and set the time of the next write."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        began = time.monotonic()
        self._catch_up()
        written = [self._write(book) for book in list(self._books.values()) if book.changed]
        ended = time.monotonic()
        rest = max(_INTERVAL, _REST * (ended - began)) if all(written) else _AFTER_FAILURE
        self._due = ended + rest

    def _end(self, book: OpenNotebook) -> None:
        """Write a notebook for the last time, with the cell that restores its REPL."""
        try:
            book.restore = restoring(book.tree, self.folder / f"{book.name}.ipynb")
        except OSError as error:
            self._refused(error)
        self._write(book)
        del self._books[id(book.tree)]
        self._forest.drop(book.tree)
        if self._timer is not None and not self._books:
            self._timer.cancel()
            self._timer = None

    def _write(self, book: OpenNotebook) -> bool:
        """Write a notebook; return whether it worked."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            content = book.writer.content(restore=book.restore, about=book.about)
            path = self.folder / f"{book.name}.ipynb"
            if book.path is None:
                book.path = self.path = new_file(path, content)
                book.name = book.path.stem
            else:
                replace_file(path, content)
        except OSError as error:
            self._refused(error)
            return False
        book.changed = False
        return True

    def _withheld(self, notebook: Path) -> None:
        if not self._warned_of_context:
            self._warned_of_context = True
            _log.warning(
                "The context of the run in %s is not kept: it holds a secret, or text that redact= "
                "removes. To play that run again, give the context. This warning comes once.",
                notebook,
            )

    def _refused(self, error: OSError) -> None:
        if not self._reported:
            self._reported = True
            _log.warning(
                "The notebook of a run cannot be written to %s: %s. The run goes on; it is tried "
                "again, and this warning comes once.",
                self.folder,
                error.strerror or error,
            )


def _write_later(log: weakref.ref[NotebookLog]) -> None:
    """Write the waiting events, unless they were written since."""
    alive = log()
    if alive is None:
        return
    with alive._lock:  # noqa: SLF001 - our own
        if alive._timer is not threading.current_thread():  # noqa: SLF001 - same
            return
        try:
            alive._write_all()  # noqa: SLF001 - same
        except Exception as error:  # noqa: BLE001 - a reader never hurts a run
            _log.warning("A run's notebook could not be written: %s", error, exc_info=error)


def _name(event: Event) -> str:
    """Return a unique name for a run's notebook, without the suffix."""
    question = event.root_prompt if isinstance(event, RunStarted) else None
    words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", question or "").lower())
    slug = words[:_SLUG].strip("-") or "run"
    now = datetime.now(UTC).astimezone().strftime("%Y-%m-%d_%H-%M-%S")
    return f"{slug}_{now}_{uuid.uuid4().hex[:8]}"
