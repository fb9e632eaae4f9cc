#!/usr/bin/env bash
# asyncio.gather of two `execute_interactive` on one AsyncKernelClient.
# Expected: two cells, two replies; or an error that says that one has to wait.
# Seen: one call raises TimeoutError at once, though no timeout was given, and its cell runs all
# the same: both read the same channel, and each drops what was meant for the other.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv run --quiet --no-project --with ipykernel==7.4.0 --with jupyter_client==8.10.0 python - <<'PY'
import asyncio
from importlib.metadata import version
from jupyter_client.manager import start_new_async_kernel

print("jupyter_client", version("jupyter_client"), "ipykernel", version("ipykernel"))


async def main():
    manager, client = await start_new_async_kernel()
    try:
        cells = [f"n{i} = {i}" for i in (1, 2)]
        calls = [client.execute_interactive(cell, output_hook=lambda m: None) for cell in cells]
        tasks = [asyncio.ensure_future(call) for call in calls]
        done, waiting = await asyncio.wait(tasks, timeout=20)
        seen = sorted(
            "waits" if t in waiting else type(t.exception()).__name__ if t.exception() else "reply"
            for t in tasks
        )
        for task in waiting:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        print("the two calls:", seen)
        text = []
        again = client.execute("print(sorted(n for n in dir() if n in ('n1', 'n2')))")
        while True:
            message = await client.get_iopub_msg(timeout=20)
            if message["parent_header"].get("msg_id") == again:
                text.append(message["content"].get("text", ""))
                if message["content"].get("execution_state") == "idle":
                    break
        print("cells that ran:", "".join(text).strip())
        assert "TimeoutError" in seen, "this has changed"
        assert "['n1', 'n2']" in "".join(text), "this has changed"
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


asyncio.run(main())
PY
