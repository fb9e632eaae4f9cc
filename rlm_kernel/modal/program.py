"""The programs in a Modal sandbox: the fork server, and an entry point that ends with it.

Modal keeps a sandbox until its entry point ends. So the entry point holds one end of a pipe and the
fork server the other. When the fork server ends for any reason, so does the sandbox: after a crash
of the host, the user pays for a minute at most.
"""

from __future__ import annotations

from rlm_kernel.relay.bootstrap import BOOTSTRAP

PYTHON = "python"
"""The interpreter in Modal's images that has pip."""

_PIPE = "/tmp/.rlm-alive"  # noqa: S108 - in a sandbox of our own

_FIRST_SECONDS = 600
"""How long the entry point waits for the fork server: a new machine may first load the image."""

_WATCH = f"""\
import os, select, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
try: os.mkfifo({_PIPE!r}, 0o600)
except FileExistsError: pass
pipe = os.open({_PIPE!r}, os.O_RDONLY | os.O_NONBLOCK)
poll = select.poll()
poll.register(pipe, select.POLLIN)
if not poll.poll({_FIRST_SECONDS * 1000}): sys.exit("nobody came")
while True:
    try:
        if not os.read(pipe, 64): break
    except BlockingIOError: pass
    poll.poll()
"""

_HOLD = f"""\
import os
try: os.mkfifo({_PIPE!r}, 0o600)
except FileExistsError: pass
os.write(os.open({_PIPE!r}, os.O_RDWR), b"1")
"""


def entry_point() -> tuple[str, ...]:
    """Return the command of a new sandbox's entry point."""
    return (PYTHON, "-c", _WATCH)


def kernel_program(root: str, *, silence: float, workdir: str | None) -> tuple[str, ...]:
    """Return the fork server's command; the bundle follows on its stdin."""
    folder = f"os.makedirs({workdir!r}, exist_ok=True)\n" if workdir else ""
    code = f"{_HOLD}{folder}{BOOTSTRAP}"
    return (PYTHON, "-c", code, root, "--relay", f"--silence={silence:g}")
