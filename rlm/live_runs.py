"""The runs that go on right now, of all processes of this user: one small file each.

A file lies in Jupyter's runtime folder, where connection files lie too, from the moment when a
root run's kernel has started until the run has ended. `rlm attach` and `%rlm runs` read them. What
a killed process left is removed by whoever looks next. ``RLM_LIVE_RUNS=0`` turns it off.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.errors import RLMError

if TYPE_CHECKING:
    from collections.abc import Iterator

OFF = "RLM_LIVE_RUNS"
"""The environment variable that turns the registry off: ``0``, ``off``, ``no`` or ``false``."""

_PREFIX = "rlm-run-"
_MAX_QUESTION = 500
_MAX_FILE_BYTES = 64_000
_STALE_SECONDS = 30 * 86_400.0
"""After so long a file of another machine (a shared home folder) is removed as well."""

_PROC_START_TIME = 19
"""Where `/proc/PID/stat` has the start time (field 22), counted from behind the name (proc(5))."""


class NoSuchRunError(RLMError, LookupError):
    """No live run has this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """A run that goes on.

    Attributes:
        id: The run's, as its events have it.
        host: The machine's name.
        pid: The process that drives it.
        process_started: That process's start, in units of the system's own: a process id alone is
            given out again.
        question: What it is to answer, or how its context begins.
        model: The model that is asked turn by turn.
        environment: Where its kernel is.
        started: Seconds since the epoch.
        connection_file: Its root kernel's Jupyter connection file.
    """

    id: str
    host: str
    pid: int
    process_started: float
    question: str
    model: str
    environment: str
    started: float
    connection_file: str


class Registration:
    """A run's entry; it may be without a file, and nothing that goes wrong with it is raised.

    Args:
        run: What the entry says; None registers nothing.
    """

    def __init__(self, run: LiveRun | None) -> None:
        self._run = run
        self._file: Path | None = None

    def moved(self, connection_file: str) -> None:
        """Take note of the run's new kernel."""
        if self._run is not None:
            self._run = replace(self._run, connection_file=connection_file)
            self._write(self._run)

    def end(self) -> None:
        """Remove the file."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.unlink()

    def _write(self, run: LiveRun) -> None:
        # A read-only or full disk, a folder that cannot be made: the run matters, its entry not
        with contextlib.suppress(OSError, ValueError):
            folder = _folder()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = folder / f"{_PREFIX}{run.id}.json"
            new = file.with_suffix(".part")
            try:
                with open(new, "w", encoding="utf-8", opener=_opened_for_me_alone) as text:
                    json.dump(asdict(run), text)
                new.replace(file)
            except OSError:
                new.unlink(missing_ok=True)
                raise
            self._file = file


@contextlib.contextmanager
def registered(
    run_id: str, *, question: str, model: str, environment: str, connection_file: str
) -> Iterator[Registration]:
    """Have a run among the live ones for as long as the `with` block lasts.

    Args:
        run_id: The run's id.
        question: What it is to answer.
        model: The model that is asked turn by turn.
        environment: Where its kernel is.
        connection_file: Its kernel's Jupyter connection file.
    """
    if os.environ.get(OFF, "").lower() in {"0", "off", "no", "false"}:
        yield Registration(None)
        return
    registration = Registration(
        LiveRun(
            id=run_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            process_started=_process_started(os.getpid()) or 0.0,
            question=question[:_MAX_QUESTION],
            model=model,
            environment=environment,
            started=time.time(),
            connection_file="",
        )
    )
    registration.moved(connection_file)
    try:
        yield registration
    finally:
        registration.end()


def live_runs() -> list[LiveRun]:
    """Return this machine's live runs, the oldest first; files without a process are removed."""
    found = []
    for file in _folder().glob(f"{_PREFIX}*.json"):
        run = _read(file)
        if run is None:
            continue
        if run.host != socket.gethostname():
            gone = time.time() - run.started > _STALE_SECONDS
        else:
            gone = _process_started(run.pid) != run.process_started
            if not gone:
                found.append(run)
        if gone:
            with contextlib.suppress(OSError):
                file.unlink()
    return sorted(found, key=lambda run: run.started)


def live_run(name: str) -> LiveRun:
    """Return the live run whose id is, or alone begins with, `name`.

    Raises:
        NoSuchRunError: None has, or several have; the message lists those there are.
    """
    runs = live_runs()
    matching = [run for run in runs if run.id == name] or [
        run for run in runs if run.id.startswith(name)
    ]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(run.id for run in matching or runs) or "none"
    problem = f"Several live runs begin with {name!r}" if matching else f"No live run {name!r}"
    raise NoSuchRunError(f"{problem}. Live now: {known}.")


def _folder() -> Path:
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir())


def _opened_for_me_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(file: Path) -> LiveRun | None:
    """Return what a file says; None when it is gone or no entry of ours."""
    try:
        with file.open(encoding="utf-8") as text:
            data: Any = json.loads(text.read(_MAX_FILE_BYTES))
        values = {field.name: data[field.name] for field in fields(LiveRun)}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    types: dict[str, Any] = {"pid": int, "process_started": int | float, "started": int | float}
    if all(isinstance(value, types.get(name, str)) for name, value in values.items()):
        return LiveRun(**values)
    return None


def _process_started(pid: int) -> float | None:
    """Return when a process started, in units of the system's own; None when there is none."""
    if not Path("/proc/self/stat").exists():
        return _process_created(pid)
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if values[0] in "ZX" else float(values[_PROC_START_TIME])
    except (OSError, ValueError, IndexError):
        return None


def _process_created(pid: int) -> float | None:
    """Ask `psutil` (ipykernel brings it), where there is no /proc: macOS."""
    import psutil  # type: ignore[import-untyped]

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
