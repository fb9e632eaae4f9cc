"""What runs in a Modal sandbox: an entry point that ends with the fork server, and that itself.

Modal keeps a sandbox until its entry point ends. The entry point therefore holds one end of a pipe
and the fork server the other: when that is gone, for whatever reason, so is the sandbox, and a
host that crashed pays for no more than a minute.
"""

from __future__ import annotations

from rlm_kernel.relay.bootstrap import BOOTSTRAP

PYTHON = "python"
"""As in Modal's own images, where pip is its module."""

_PIPE = "/tmp/.rlm-alive"  # noqa: S108 - in a sandbox of our own

_FIRST_SECONDS = 600
"""How long the entry point waits for the fork server: a new machine may have to load the image."""

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
    """Return the command that a sandbox is created with."""
    return (PYTHON, "-c", _WATCH)


def kernel_program(root: str, *, silence: float, workdir: str | None) -> tuple[str, ...]:
    """Return the command that is started in it; our half follows on its stdin.

    Args:
        root: The fork server's directory; it makes it.
        silence: Seconds without a word from the host after which it ends.
        workdir: A folder to make for cells to start in; None for none.
    """
    folder = f"os.makedirs({workdir!r}, exist_ok=True)\n" if workdir else ""
    code = f"{_HOLD}{folder}{BOOTSTRAP}"
    return (PYTHON, "-c", code, root, "--relay", f"--silence={silence:g}")
