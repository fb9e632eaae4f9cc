"""Finds out whether an image has a supported Python and ipykernel; each image is probed once."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.docker.container_config import labels
from rlm_kernel.errors import SandboxError
from rlm_kernel.kernel_requirements import IPYKERNEL, OLDEST_PYTHON

if TYPE_CHECKING:
    from rlm_kernel.docker.job_containers import JobContainers

_SECONDS = 60
_PROGRAM = """\
import json, sys
found = {"python": sys.executable, "version": sys.version_info[:2], "ipykernel": None}
try:
    import zmq
    from importlib.metadata import version
    found["ipykernel"] = version("ipykernel")
except Exception: pass
print(json.dumps(found))
"""


def known(image_id: str) -> dict[str, Any] | None:
    """Return the result of an earlier probe, as `probed` does; None without one."""
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(_file(image_id).read_text())
        return found
    return None


def probed(jobs: JobContainers, client: Any, image_id: str, name: str) -> dict[str, Any]:
    """Return an image's `python`, the interpreter, and `ipykernel`, its version or None.

    Raises:
        SandboxError: The image has no Python, or one that is too old.
    """
    found = known(image_id)
    if found is None:
        found = _probe(jobs, client, image_id, name)
        file = _file(image_id)
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps(found))
            partial.replace(file)
    return found


def has_kernel(found: dict[str, Any]) -> bool:
    """Return whether a probed image has a supported ipykernel."""
    version = found["ipykernel"]
    if version is None:
        return False
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    return IPYKERNEL[0] <= numbers < IPYKERNEL[1]


def _probe(jobs: JobContainers, client: Any, image_id: str, name: str) -> dict[str, Any]:
    for python in ("python3", "python"):
        code, output = _run(jobs, client, image_id, [python, "-c", _PROGRAM])
        if code == 0:
            break
    else:
        raise SandboxError(
            f"The image {name!r} has no Python, and kernels need Python >= 3.11. Use one that "
            "has it, such as 'python:3.12-slim'."
        )
    try:
        found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        version = tuple(map(int, found["version"]))
    except (ValueError, KeyError, IndexError, TypeError):
        raise SandboxError(
            f"The Python of the image {name!r} cannot be used: it said {output[:500]!r}."
        ) from None
    if version < OLDEST_PYTHON:
        raise SandboxError(
            f"The image {name!r} has Python {'.'.join(map(str, version))}, which is too old: "
            "kernels need >= 3.11. Use a newer one, such as 'python:3.12-slim'."
        )
    return found


def _run(jobs: JobContainers, client: Any, image: str, command: list[str]) -> tuple[int, str]:
    """Run a command in a container; return its exit code (127: no such command) and output."""
    with jobs.created(
        image,
        entrypoint=command[:1],
        command=command[1:],
        host_config=client.create_host_config(network_mode="none"),
        labels=labels("probe"),
    ) as container:
        try:
            client.start(container)
        except Exception as error:
            if "executable file not found" in str(error) or "no such file" in str(error):
                return 127, ""
            raise
        code = int(client.wait(container, timeout=_SECONDS)["StatusCode"])
        return code, client.logs(container).decode("utf-8", "replace")


def _file(image_id: str) -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(root, "rlm-kernel", "images", f"{image_id.replace(':', '-')}.json")
