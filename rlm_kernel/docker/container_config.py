"""The request that creates a container: locked down, except for what the options relax."""

from __future__ import annotations

import os
import secrets
import time
from typing import TYPE_CHECKING, Any

from rlm_kernel.relay.bootstrap import BOOTSTRAP
from rlm_kernel.relay.machine import ROOT

if TYPE_CHECKING:
    from rlm_kernel.docker.options import DockerOptions

LABEL = "org.rlm-kernel"
"""The label of everything that we make; its value says what it is."""

_CPU_PERIOD = 100_000
"""Microseconds of one scheduling period of a container's processors."""

SCRATCH = "/tmp"  # noqa: S108 - the container's own


def container_config(image: str, python: str, options: DockerOptions) -> dict[str, Any]:
    """Return the body of the request (Docker Engine API, "Create a container")."""
    return {
        "Image": image,
        "Entrypoint": [python],
        "Cmd": ["-c", BOOTSTRAP, ROOT, "--relay"],
        "User": options.user,
        "WorkingDir": SCRATCH,
        "Env": [f"HOME={SCRATCH}", "PYTHONDONTWRITEBYTECODE=1"],
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": True,  # our end closes its stdin, which ends it
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": labels("sandbox"),
        "HostConfig": _host_config(options),
    }


def labels(what: str) -> dict[str, str]:
    """Return the labels of something that this process makes on an engine."""
    return {
        LABEL: what,
        f"{LABEL}.run": secrets.token_hex(8),
        f"{LABEL}.created": str(int(time.time())),
        f"{LABEL}.pid": str(os.getpid()),
    }


def _host_config(options: DockerOptions) -> dict[str, Any]:
    host: dict[str, Any] = {
        "NetworkMode": options.network,
        "ReadonlyRootfs": True,
        # Programs that a cell writes there may run: a cell can run anything anyway
        "Tmpfs": {SCRATCH: "rw,exec,nosuid,nodev,mode=1777"},
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Memory": options.mem_limit,
        "MemorySwap": options.mem_limit,
        "PidsLimit": options.pids_limit,
        "ShmSize": options.shm_size,
        "Binds": [f"{source}:{to['bind']}:{to['mode']}" for source, to in options.volumes.items()],
        "AutoRemove": True,
        # The engine would write every frame to its disk: prompts and outputs
        "LogConfig": {"Type": "none", "Config": {}},
    }
    if options.cpus is not None:
        # As time, not as `NanoCpus`, which an engine with fewer processors would refuse
        host["CpuPeriod"] = _CPU_PERIOD
        host["CpuQuota"] = int(options.cpus * _CPU_PERIOD)
    if options.gpus is not None:
        request: dict[str, Any] = {"Driver": "", "Capabilities": [["gpu"]], "Options": {}}
        if isinstance(options.gpus, list):
            request["DeviceIDs"] = options.gpus
        else:
            request["Count"] = -1 if options.gpus == "all" else options.gpus
        host["DeviceRequests"] = [request]
    return host
