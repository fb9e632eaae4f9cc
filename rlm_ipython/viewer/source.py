"""What a viewer can show: a trajectory, a run or its result, or a file that holds one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rlm.errors import ArgumentError
from rlm.trajectory import Trajectory, load


@runtime_checkable
class LiveRun(Protocol):
    """A run that goes on in the background, such as `RLM.start` returns."""

    @property
    def trajectory(self) -> Trajectory:
        """What has been told of it so far; it grows."""

    def add_reader(self, reader: Any) -> None:
        """Tell a reader of what comes."""

    def stop(self) -> None:
        """End it."""


def trajectory_of(source: Any) -> Trajectory:
    """Return what a source holds.

    Args:
        source: A `Trajectory`, a path to a file that `save` wrote, or anything with a
            `trajectory`: a run, a completion, an error.

    Raises:
        ArgumentError: It is none of these.
        TrajectoryError: The file is no trajectory.
    """
    if isinstance(source, Trajectory):
        return source
    if isinstance(source, str | Path):
        return load(source)
    trajectory = getattr(source, "trajectory", None)
    if isinstance(trajectory, Trajectory):
        return trajectory
    raise ArgumentError(
        "A viewer shows a trajectory, something that has one (a run, a completion, an error), or "
        f"the path of a saved one, not {type(source).__name__}."
    )
