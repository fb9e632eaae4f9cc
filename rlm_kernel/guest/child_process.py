"""Turns a process that the fork server has just forked into a kernel."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.guest import processes

if TYPE_CHECKING:
    from collections.abc import Iterable


def become_kernel(
    spec: dict[str, Any], server: int, stream: Iterable[int], *, relayed: bool
) -> None:
    """Turn this process into a kernel; never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        for fd in stream:
            os.close(fd)
        os.setsid()
        processes.die_with_parent(server)
        processes.adopt_orphans()
        if relayed:
            processes.hide(hidden=False)
            processes.offer_to_oom_killer()
            processes.lower_priority()
        os.chdir(spec["cwd"])
        os.environ.update(spec["env"])
        _limit_memory(spec.get("memory_limit"))
        if "exec" in spec:
            _become_command(spec, relayed=relayed)
        os.environ["TMPDIR"] = os.environ["IPYTHONDIR"] = spec["dir"]
        sys.path += [entry for entry in spec["sys_path"] if entry not in sys.path]
        sys.argv = ["rlm-kernel"]

        from rlm_kernel.guest.app import start_kernel

        start_kernel(spec)
        code = 0
    except BaseException:  # noqa: BLE001 - a copy of the server must not go on
        import traceback

        with contextlib.suppress(OSError):
            Path(spec["dir"], "crash.txt").write_text(traceback.format_exc())
    finally:
        os._exit(code)


def _become_command(spec: dict[str, Any], *, relayed: bool) -> None:
    """Run a notebook kernel; in a relayed sandbox with our code and a connection file."""
    command = list(spec["exec"])
    if relayed:
        file = Path(spec["dir"], "connection.json")
        file.touch(mode=0o600)  # it holds the key
        file.write_text(json.dumps(spec["connection"]))
        code = sys.path[0]  # the file that our code came in: see `rlm_kernel.relay.bootstrap`
        fcntl.fcntl(int(code.rpartition("/")[2]), fcntl.F_SETFD, 0)  # exec shall not close it
        os.environ["PYTHONPATH"] = code
        os.environ["IPYTHONDIR"] = spec["dir"]
        command = [sys.executable, *command[1:]]
        command = [str(file) if word == "{connection_file}" else word for word in command]
    os.execvp(command[0], command)  # noqa: S606 - the kernelspec's own command


def _limit_memory(limit: int | None) -> None:
    """Have allocations over `limit` bytes fail with a `MemoryError`.

    RLIMIT_DATA counts the stacks of threads, 8 MB each by default: we make them smaller, so that
    hundreds of threads fit. The server's memory check sees what it does not (shared mappings).
    """
    if not limit:
        return
    import resource
    import threading

    threading.stack_size(1 << 20)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
