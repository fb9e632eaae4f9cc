"""Lists the live runs of all processes of this user: one small file for each.

The file is in Jupyter's runtime folder, next to the connection files, from the start of a root
run's kernel until the run ends. `rlm attach` and `%rlm runs` read these files, and remove those
that a killed process left. ``RLM_LIVE_RUNS=0`` turns the registry off.
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
    from collections.abc import Callable, Iterator

OFF = "RLM_LIVE_RUNS"
"""The environment variable that turns the registry off: ``0``, ``off``, ``no`` or ``false``."""

_PREFIX = "rlm-run-"
_MAX_QUESTION = 500
_MAX_FILE_BYTES = 64_000
_STALE_SECONDS = 30 * 86_400.0
"""The age at which a file of another machine (a shared home folder) is removed as well."""

_PROC_START_TIME = 19
"""Index of the start time in `/proc/PID/stat` (field 22), counted after the name; see proc(5)."""


class NoSuchRunError(RLMError, LookupError):
    """No live run has this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """A run that is still running.

    Attributes:
        id: The run's id in its events.
        host: The machine's name.
        pid: The id of the run's process.
        process_started: When that process started, in the system's units: another process may get
            its id later.
        question: The run's question, or the beginning of its context.
        model: The model that is asked turn by turn.
        environment: Where the kernel is.
        started: Seconds since the epoch.
        connection_file: The root kernel's Jupyter connection file.
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


class _Entry:
    """A run's file. A failure to write or remove it is ignored: the run matters more."""

    def __init__(self, run: LiveRun) -> None:
        self._run = run
        self._file: Path | None = None

    def write(self, connection_file: str) -> None:
        """Write the file, or replace it after a restart of the kernel."""
        run = replace(self._run, connection_file=connection_file)
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

    def remove(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.unlink()


@contextlib.contextmanager
def registered(
    run_id: str, *, question: str, model: str, environment: str, connection_file: str
) -> Iterator[Callable[[str], None] | None]:
    """List a run among the live runs while the `with` block lasts; see `LiveRun` for the arguments.

    Yields a function to call with the connection file of the run's new kernel after a restart;
    None when the registry is turned off.
    """
    if os.environ.get(OFF, "").lower() in {"0", "off", "no", "false"}:
        yield None
        return
    entry = _Entry(
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
    entry.write(connection_file)
    try:
        yield entry.write
    finally:
        entry.remove()


def live_runs() -> list[LiveRun]:
    """Return this machine's live runs, oldest first; files whose process is gone are removed."""
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
    """Return the live run whose id is `name`, or the only one whose id begins with it.

    Raises:
        NoSuchRunError: There is none, or there are several; the message lists the live runs.
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
    """Return a file's run; None when the file is gone or not one of ours."""
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
    """Return when a process started, in the system's units; None if there is no such process."""
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
