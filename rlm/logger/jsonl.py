"""The JSONL log, in the reference's format."""

from __future__ import annotations

import os
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from rlm.errors import ConfigurationError
from rlm.events import RunFinished, RunStarted, TurnFinished
from rlm.formats.jsonl.write import (
    Prompts,
    iteration_entry,
    log_line,
    logged_turns,
    metadata_entry,
    run_record,
)
from rlm.redaction import Redaction
from rlm.trajectory.forest import Forest
from rlm_kernel.host.process_hooks import begin_anew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.events import Event
    from rlm.trajectory import RunNode, Trajectory, TurnNode


class RLMLogger:
    """Keeps what happened in the reference's format, in memory and, with `log_dir`, in a file.

    A root run is a `metadata` line, then an `iteration` line for each turn, written as soon as
    the turn is over; a child's run is the `metadata` of its entry in `rlm_calls`. Lines of runs
    that go on at once alternate; each is whole, and its `run_id` names the run. The context is
    described, never copied.

    Attributes:
        log_dir: The folder of the log file; None keeps the log in memory only.
        log_file_path: The log file; the first line creates it. None without `log_dir`.
        prompts: What an iteration's `prompt` holds.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        file_name: str = "rlm",
        prompts: Prompts = "full",
        redact: Callable[[str], str] | None = None,
    ) -> None:
        """Name the file; the name never changes.

        Args:
            log_dir: The folder for the log file; made when it is missing.
            file_name: How the file's name begins; the rest is
                ``_{YYYY-MM-DD_HH-MM-SS}_{8 hex}.jsonl``.
            prompts: ``"full"``: all messages of each turn, as in the reference; ``"delta"``:
                those that the turn added, so that the log does not grow with the square
                of the turns.
            redact: Called with every text before it is kept; returns what may be kept of it. Keys
                and headers of the configuration are never kept anyway.

        Raises:
            ConfigurationError: `prompts`, `file_name` or `redact` is not allowed.
            OSError: The folder cannot be made.
        """
        if prompts not in get_args(Prompts):
            allowed = " or ".join(map(repr, get_args(Prompts)))
            raise ConfigurationError(f"prompts must be {allowed}, not {prompts!r}.")
        if not file_name or Path(file_name).name != file_name:
            raise ConfigurationError(
                f"file_name must be a plain name, not {file_name!r}; folders go into log_dir."
            )
        self.prompts: Prompts = prompts
        self._redact = redact
        self._redaction = Redaction(redact)
        self.log_dir = None if log_dir is None else os.fspath(log_dir)
        self.log_file_path: str | None = None
        if self.log_dir is not None:
            folder = Path(self.log_dir)
            folder.mkdir(parents=True, exist_ok=True)
            now = datetime.now(UTC).astimezone().strftime("%Y-%m-%d_%H-%M-%S")
            self.log_file_path = str(folder / f"{file_name}_{now}_{uuid.uuid4().hex[:8]}.jsonl")
        self._latest: Trajectory | None = None
        self._begin()
        begin_anew_in_child(self, type(self)._begin)  # noqa: SLF001 - our own

    def on_event(self, event: Event) -> None:
        """Take one event.

        Args:
            event: Of any run; several runs may share the logger.
        """
        with self._lock:
            event = self._redaction(event)
            tree = self._forest.add(event)
            root = None if tree is None else tree.root
            if tree is None or root is None or event.run_id != root.started.run_id:
                return
            if isinstance(event, RunStarted):
                self._latest = tree
                self._written[event.run_id] = set()
                self._write(log_line(metadata_entry(root)))
            elif isinstance(event, TurnFinished):
                self._log_turns(root, [turn for turn in root.turns if turn.started.id == event.id])
            elif isinstance(event, RunFinished):
                # A run that was stopped leaves a turn unfinished: it is logged as far as it got.
                self._log_turns(root, root.turns)
                del self._written[event.run_id]
                self._forest.drop(tree)

    def on_tree(self, tree: Trajectory) -> None:
        """Use the delivery's tree of a run that begins, unless `redact` makes this log's differ.

        Args:
            tree: It grows with the run.
        """
        if self._redact is None:
            with self._lock:
                self._forest.share(tree)

    def get_trajectory(self) -> dict[str, Any] | None:
        """Return the run that began last: `{"run_metadata", "iterations"}`; None before any.

        When runs share the logger, use each completion's own `metadata`.
        """
        with self._lock:
            if self._latest is None or self._latest.root is None:
                return None
            return run_record(self._latest.root, prompts=self.prompts)

    @property
    def iteration_count(self) -> int:
        """How many iterations the run that began last has so far."""
        with self._lock:
            root = None if self._latest is None else self._latest.root
            return 0 if root is None else len(logged_turns(root.turns))

    def close(self) -> None:
        """Do nothing: every line is in the file already."""

    def _begin(self) -> None:
        """Begin with no run under way: a fork may have copied it in the middle of an event."""
        self._lock = threading.Lock()
        self._forest = Forest()
        self._written: dict[str, set[str]] = {}

    def _log_turns(self, root: RunNode, turns: list[TurnNode]) -> None:
        written = self._written[root.started.run_id]
        for turn in logged_turns(turns):
            if turn.started.id in written:
                continue
            written.add(turn.started.id)
            if self.log_file_path is not None:
                self._write(log_line(iteration_entry(root, turn, prompts=self.prompts)))

    def _write(self, line: bytes) -> None:
        if self.log_file_path is None:
            return
        # Opened for each line: nothing to close, and one append of a whole line never mixes with
        # that of another process.
        with Path(self.log_file_path).open("ab") as file:
            file.write(line)
