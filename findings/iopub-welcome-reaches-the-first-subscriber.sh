#!/usr/bin/env bash
# iopub_welcome (JEP 65: sent when a client has subscribed) with two clients of one ipykernel.
# Expected: each client gets one when it subscribes.
# Seen: the first gets one, the second none: the kernel's XPUB socket is not verbose, so a second
# subscription to the same topic never reaches the kernel. A client that waits for it waits for ever.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv run --quiet --no-project --with ipykernel==7.4.0 --with jupyter_client==8.10.0 python - <<'PY'
import queue
from importlib.metadata import version
from jupyter_client.manager import KernelManager

print("ipykernel", version("ipykernel"), "jupyter_client", version("jupyter_client"))
manager = KernelManager()
manager.start_kernel()
clients, welcomed = [], []
try:
    for number in (1, 2):
        client = manager.client()
        clients.append(client)
        client.start_channels()
        found = False
        client.kernel_info()
        client.get_shell_msg(timeout=20)
        try:
            while not found:
                found = client.get_iopub_msg(timeout=3)["msg_type"] == "iopub_welcome"
        except queue.Empty:
            pass
        welcomed.append(found)
    print("iopub_welcome came to the first, second client:", welcomed)
    assert welcomed == [True, False], "this has changed"
finally:
    for client in clients:
        client.stop_channels()
    manager.shutdown_kernel(now=True)
PY
