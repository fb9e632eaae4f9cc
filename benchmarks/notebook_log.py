"""What a run's notebook costs: written as it happens, saved and loaded whole.

One run of 30 turns with 2,000 sub-calls, against a stand-in LM of 50 ms in a process of its own.
The log's cost is the CPU time of its thread, as a share of the run's wall time: two runs with and
without a log differ by more than that for other reasons, and both are printed.

    python benchmarks/notebook_log.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
