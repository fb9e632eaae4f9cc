"""What it costs to run the demo again from its log: no model, no network, no key.

Each round records and saves the demo by its own command, with its input beside it, and replays it
as a person does (`rlm replay demo.ipynb`, a process of its own, imports and all) and as a script
does (`RLM.from_notebook(path, replay=True).completion()` in a process that did so before, whose
fork server has ended since). The target is the time that the recorded cells took, plus 1 s.

    python benchmarks/replay.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rlm import RLM, Trajectory

ALLOWANCE = 1.0
"""Seconds beyond the recorded kernel time."""

NO_MODEL = {
    name: value
    for name, value in os.environ.items()
    if not name.endswith(("_API_KEY", "_BASE_URL")) and not name.startswith("RLM_")
}
"""The environment of a replay: nobody could be asked."""


def rlm(*arguments: str, folder: str) -> float:
    """Run the command; return its seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "rlm", *arguments],
        cwd=folder,
        env=NO_MODEL,
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"rlm {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return took


def kernel_time(trajectory: Trajectory) -> float:
    """Return the seconds that a run's own cells took; its children's cells ran within them."""
    assert trajectory.root is not None
    cells = (cell.finished for cell in trajectory.root.cells)
    return sum(finished.duration for finished in cells if finished is not None)


def replayed(path: Path, recorded: Trajectory) -> float:
    """Replay a log in this process; return the seconds, once it did the same."""
    began = time.perf_counter()
    with RLM.from_notebook(path, replay=True) as again:
        result = again.completion()
    took = time.perf_counter() - began
    assert result.trajectory is not None
    same = recorded.same_as(result.trajectory)
    if not same:
        raise SystemExit(f"The replay did something else: {same}")
    return took


def main() -> int:
    """Print the figures; 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    kernel, commands, calls = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo.ipynb"
        for number in range(options.rounds):
            rlm("demo", "--quiet", "--save", path.name, folder=folder)
            recorded = Trajectory.load(path)
            if not number:
                replayed(path, recorded)
            kernel.append(kernel_time(recorded))
            commands.append(rlm("replay", path.name, "--quiet", folder=folder))
            calls.append(replayed(path, recorded))
    counts = recorded.counts
    print(f"the demo: {counts['turns']} turns, {counts['sub_calls']} sub-calls")
    print(f"its cells took                {_told(kernel)}")
    print(f"rlm replay                    {_told(commands)}")
    print(f"completion()                  {_told(calls)}")
    beyond = [
        [took - recorded for took, recorded in zip(times, kernel, strict=True)]
        for times in (commands, calls)
    ]
    print(f"rlm replay, beyond the cells  {_told(beyond[0])} (target {ALLOWANCE:.0f} s)")
    print(f"completion(), beyond them     {_told(beyond[1])} (target {ALLOWANCE:.0f} s)")
    return int(max(map(statistics.median, beyond)) >= ALLOWANCE)


def _told(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} s ({min(times):.2f}-{max(times):.2f})"


if __name__ == "__main__":
    sys.exit(main())
