#!/usr/bin/env bash
# Two clients made with clones of one Session (jupyter_client), connected to one kernel.
# Expected: each is a client, and both get their replies.
# Seen: a clone keeps the session id, which is the ZeroMQ identity of its sockets. The kernel's
# ROUTER socket hands the identity to the newest connection; the first client's next request is
# neither run nor answered, and nothing reports an error.
# Way out: give every client a session id, `client.session.session = new_id()`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv run --quiet --no-project --with ipykernel==7.4.0 --with jupyter_client==8.10.0 python - <<'PY'
import queue
from importlib.metadata import version
from jupyter_client.manager import start_new_kernel
from jupyter_client.session import new_id

print("jupyter_client", version("jupyter_client"), "ipykernel", version("ipykernel"))


def replied(client, seconds):
    wanted = client.kernel_info()
    try:
        while client.get_shell_msg(timeout=seconds)["parent_header"].get("msg_id") != wanted:
            pass
    except queue.Empty:
        return False
    return True


manager, first = start_new_kernel()
assert replied(first, 20)
try:
    for own_id in (False, True):
        second = manager.client()
        second.session = first.session.clone()
        if own_id:
            second.session.session = new_id()
        second.start_channels(iopub=False, stdin=False, hb=False, control=False)
        ours = replied(second, 20)
        theirs = replied(first, 5)
        print(f"own session id: {own_id}; second answered: {ours}, first answered: {theirs}")
        assert (ours, theirs) == (True, own_id), "this has changed"
        second.stop_channels()
        first.stop_channels()
        first = manager.client()
        first.start_channels()
        assert replied(first, 20)
finally:
    first.stop_channels()
    manager.shutdown_kernel(now=True)
PY
