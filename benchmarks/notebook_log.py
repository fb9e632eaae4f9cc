"""What a run's notebook costs: written as it happens, saved and loaded whole.

One run of 30 turns with 2,000 sub-calls, against a stand-in LM of 50 ms in a process of its own.
The log's cost is the CPU time that it takes, as a share of the run's wall time: two runs with and
without a log differ by more than that for other reasons, and both are printed.

    python benchmarks/notebook_log.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from served_model import served

from rlm import RLM, Trajectory
from rlm.logger import NotebookLog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlm.events import Event

TURNS, CALLS, LATENCY = 30, 2_000, 0.05

SERVER = f"""
import sys
from rlm.demo.server import StandInServer, script
CALLS, TURNS = {CALLS}, {TURNS}
def root(request):
    if request.turn < TURNS:
        count = CALLS // (TURNS - 1) + (request.turn <= CALLS % (TURNS - 1))
        ask = "llm_query_batched([f'Summarise part {{i}}: ' + 'words ' * 40 for i in range(%d)])"
        return f"I ask about the next parts.\\n```repl\\nr = {{ask % count}}\\nprint(r[0])\\n```"
    return "```repl\\nanswer = {{'content': 'done', 'ready': True}}\\n```"
with StandInServer(script(root, lambda p: "A summary of it. " * 10), latency={LATENCY}) as server:
    print(server.base_url, flush=True)
    sys.stdin.read()
"""


class Timed(NotebookLog):
    """A log that counts the CPU time that it takes, on whichever thread."""

    spent = 0.0
    _inside = 0

    def on_event(self, event: Event) -> None:
        """Take one event and the time it takes."""
        with self._counted():
            super().on_event(event)

    def _write_all(self) -> None:
        with self._counted():
            super()._write_all()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            began = time.thread_time()
            self._inside += 1
            try:
                yield
            finally:
                self._inside -= 1
                if not self._inside:
                    self.spent += time.thread_time() - began


def run(url: str, log: NotebookLog | None) -> tuple[float, Trajectory]:
    """Return a run's seconds and its record."""
    kwargs = {"model_name": "m", "base_url": url}
    with RLM(backend="openai", backend_kwargs=kwargs, logger=log) as rlm:
        began = time.perf_counter()
        result = rlm.completion("context")
        took = time.perf_counter() - began
    assert result.trajectory is not None
    counts = result.trajectory.counts
    assert (counts["turns"], counts["sub_calls"]) == (TURNS, CALLS), counts
    return took, result.trajectory


def least(work: Any) -> float:
    """Return the least of five times, in seconds."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(SERVER) as url:
        run(url, None)
        bare, logged, shares = [], [], []
        for _ in range(options.rounds):
            bare.append(run(url, None)[0])
            log = Timed(folder)
            took, trajectory = run(url, log)
            logged.append(took)
            shares.append(log.spent / took)
        path = trajectory.save(Path(folder) / "run.ipynb")
        save = least(lambda: trajectory.save(path))
        load = least(lambda: Trajectory.load(path))
        size = path.stat().st_size / 1e6
    events = f"{TURNS} turns, {CALLS:,} sub-calls, {len(trajectory):,} events"
    print(f"{events}; LM {LATENCY * 1e3:.0f} ms")
    print(f"run without a log    {_told(bare)}")
    print(f"run with a log       {_told(logged)}")
    print(f"the log's CPU time   {statistics.median(shares):.1%} of wall time (target 3%)")
    print(f"save                 {save:.2f} s, {size:.1f} MB (target 0.5 s)")
    print(f"load                 {load:.2f} s (target 0.5 s)")


def _told(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} s ({min(times):.2f}-{max(times):.2f})"


if __name__ == "__main__":
    main()
