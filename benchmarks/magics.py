"""What the magics cost: loading them, and `%%rlm` against a plain completion.

Loading is timed in a new process with an IPython shell of its own. The other is timed as a front
end sees it, from sending a cell until the kernel is idle: `%%rlm` with its live view, its HTML and
its answer against a cell that makes an `RLM` and calls `completion()`, both in one Jupyter kernel,
warm, in turn, against a stand-in LM in a process of its own. Two turns and one sub-call each. One
more `RLM` stays open, and with it the fork server that both start kernels from: its start, which
both need without that, would hide the difference.

    python benchmarks/magics.py [--rounds 30]
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

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests" / "integration")]

from live_kernel import LiveKernel, opened  # noqa: E402 - after the path
from served_model import served  # noqa: E402

LOAD = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
began = time.perf_counter()
shell.run_line_magic("load_ext", "rlm_ipython")
print(time.perf_counter() - began)
"""

SERVER = """
import sys
from rlm.demo.server import StandInServer, script
def root(request):
    if request.turn == 1:
        return "I look.\\n```repl\\nx = llm_query(context[:200])\\nprint(len(context), x)\\n```"
    return "```repl\\nanswer['content'] = x; answer['ready'] = True\\n```"
with StandInServer(script(root, lambda _: "A **summary** of it. " * 10)) as server:
    print(server.base_url, flush=True)
    sys.stdin.read()
"""

SETUP = """
from rlm import RLM
text = "Call me Ishmael. " * 10_000
kwargs = {{"model_name": "m", "base_url": {url!r}}}
%config RLMMagics.model = "m"
%config RLMMagics.base_url = {url!r}
held = RLM(backend_kwargs=kwargs)
held.completion(text, "What is it about?")
"""

PLAIN = """
with RLM(backend_kwargs=kwargs) as rlm:
    result = rlm.completion(text, "What is it about?")
"""

MAGIC = """%%rlm -v text
What is it about?
"""


def loading(folder: Path) -> float:
    """Return how long ``%load_ext rlm_ipython`` takes in a new IPython, in seconds."""
    env = {**os.environ, "IPYTHONDIR": str(folder)}
    command = [sys.executable, "-c", LOAD]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)


def cell(kernel: LiveKernel, code: str) -> float:
    """Return how long a cell takes, in seconds."""
    began = time.perf_counter()
    messages = kernel.run(code)
    took = time.perf_counter() - began
    assert not [m for m in messages if m["type"] == "error"], messages
    return took


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        served(SERVER) as url,
        opened(Path(name)) as kernel,
    ):
        loads, plain, magic = [], [], []
        kernel.run(SETUP.format(url=url))
        for _ in range(3):  # what is imported once, and made once
            cell(kernel, PLAIN)
            cell(kernel, MAGIC)
            loading(Path(name))
        for number in range(options.rounds):
            loads.append(loading(Path(name)))
            if number % 2:
                magic.append(cell(kernel, MAGIC))
            plain.append(cell(kernel, PLAIN))
            if not number % 2:
                magic.append(cell(kernel, MAGIC))
    added = [one - other for one, other in zip(magic, plain, strict=True)]
    print(f"{options.rounds} rounds: median (range)")
    print(f"%load_ext rlm_ipython   {_told(loads)} (target 500 ms)")
    print(f"a completion            {_told(plain)}")
    print(f"%%rlm                   {_told(magic)}")
    print(f"what %%rlm adds         {_told(added)} (target 100 ms), round by round")


def _told(times: list[float]) -> str:
    middle, least, most = statistics.median(times), min(times), max(times)
    return f"{middle * 1e3:.0f} ms ({least * 1e3:.0f} to {most * 1e3:.0f})"


if __name__ == "__main__":
    main()
