"""The runs of one shell, numbered in the order they start, and the `RLM`s of `--persistent`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from rlm.usage import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rlm.api.rlm import RLM
    from rlm.api.run_handle import RunHandle
    from rlm.backends.base import ModelSpec
    from rlm.trajectory import Trajectory

KEPT = 200
"""The most finished runs that are kept: each holds its whole record."""

_GRACE = 10.0
"""Seconds that we wait for a stopped run to end its kernels."""


@dataclass(slots=True, kw_only=True, eq=False)
class ShellRun:
    """A run that this shell started or loaded.

    Attributes:
        number: 1 for the first run of the shell.
        trajectory: Its record.
        handle: The run itself; None when it was loaded from a file.
        question: The question, where the trajectory does not hold it.
        source: The file it was loaded from.
        error: Why it failed, or could not start.
        models: The models that it asks, its root's first: a fork may ask them too. Empty when
            its record comes from a file, which may be a stranger's.
    """

    number: int
    trajectory: Trajectory
    handle: RunHandle | None = None
    question: str = ""
    source: str = ""
    error: BaseException | None = None
    models: tuple[ModelSpec, ...] = field(default=(), repr=False)

    @property
    def running(self) -> bool:
        """Whether it is still running."""
        return self.handle is not None and not self.handle.done

    @property
    def status(self) -> str:
        """Its state in one word."""
        root = self.trajectory.root
        if self.running:
            return "running"
        if root is not None and root.finished is not None:
            return str(root.finished.status)
        return "unfinished" if self.handle is None else "error"

    @property
    def tally(self) -> Tally:
        """What its tree used so far; nothing when it was loaded from a file."""
        root = self.trajectory.root if self.handle is not None else None
        return _sum(node.tally for node in root.walk()) if root is not None else Tally()


class ShellRuns:
    """The runs of one shell, oldest first."""

    def __init__(self) -> None:
        self._runs: dict[int, ShellRun] = {}
        self._forgotten = Tally()
        self._last = 0

    def add(
        self,
        trajectory: Trajectory,
        *,
        handle: RunHandle | None = None,
        question: str = "",
        source: str = "",
        models: tuple[ModelSpec, ...] = (),
    ) -> ShellRun:
        """Number a run and keep it; keep only the cost of finished runs beyond `KEPT`."""
        self._last += 1
        run = ShellRun(
            number=self._last,
            trajectory=trajectory,
            handle=handle,
            question=question,
            source=source,
            models=models,
        )
        self._runs[run.number] = run
        over = [number for number, run in self._runs.items() if not run.running]
        for number in over[: max(len(self._runs) - KEPT, 0)]:
            self._forgotten.merge(self._runs.pop(number).tally)
        return run

    def named(self, name: str) -> ShellRun:
        """Return the run with that number, or the only one whose id starts with that text."""
        if name.isdecimal() and int(name) in self._runs:
            return self._runs[int(name)]
        found = [run for run in self if run.handle is not None and run.handle.id.startswith(name)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(str(run.number) for run in self) or "none yet"
        trouble = f"Several runs begin with {name!r}" if found else f"There is no run {name!r}"
        raise UsageError(f"{trouble}; `%rlm runs` lists those of this notebook: {known}.")

    @property
    def tally(self) -> Tally:
        """What all runs that the shell started used, forgotten ones included."""
        return _sum([self._forgotten, *(run.tally for run in self)])

    @property
    def running(self) -> list[ShellRun]:
        """The runs that are still running."""
        return [run for run in self if run.running]

    def stop(self, *runs: ShellRun) -> list[ShellRun]:
        """Stop these runs, or all, wait for their ends, and return those that were running."""
        stopped = [run for run in runs or self if run.running]
        handles = [run.handle for run in stopped if run.handle is not None]
        for handle in handles:
            handle.stop()
        for handle in handles:
            handle.wait(_GRACE)
        return stopped

    @property
    def last(self) -> ShellRun | None:
        """The newest."""
        return next(reversed(list(self)), None)

    def __iter__(self) -> Iterator[ShellRun]:
        return iter(list(self._runs.values()))

    def __len__(self) -> int:
        return len(self._runs)


class PersistentRLMs:
    """The `RLM`s that `--persistent` keeps in one shell, by their arguments."""

    def __init__(self) -> None:
        self._kept: dict[str, RLM] = {}

    def rlm(self, arguments: dict[str, Any]) -> RLM:
        """Return the `RLM` with these arguments; make it the first time."""
        from rlm.api.rlm import RLM

        key = repr(sorted(arguments.items()))
        if key not in self._kept:
            self._kept[key] = RLM(**arguments)
        return self._kept[key]

    def close(self) -> int:
        """Close them all, with their kernels and variables, and return how many there were."""
        kept = list(self._kept.values())
        self._kept.clear()
        for rlm in kept:
            rlm.close()
        return len(kept)

    def __len__(self) -> int:
        return len(self._kept)


def _sum(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.merge(tally)
    return total
