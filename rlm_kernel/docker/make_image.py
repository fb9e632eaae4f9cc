"""Makes a kernel's image from another: pip installs the pinned requirements into it, once."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.docker import build
from rlm_kernel.docker.container_config import LABEL, labels
from rlm_kernel.errors import SandboxError
from rlm_kernel.kernel_requirements import OLDEST_PYTHON, PINS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm_kernel.docker.job_containers import JobContainers
    from rlm_kernel.docker.options import DockerOptions

REPOSITORY = "rlm-kernel"
PYTHON_LABEL = f"{LABEL}.python"
"""The label with the path of an image's interpreter for kernels."""

_BUILD_SECONDS = 1800


def tag_of(image_id: str, options: DockerOptions) -> str:
    """Return the tag of the image made from another: a hash of all that goes into it."""
    program = Path(build.__file__).read_text()
    parts = json.dumps([image_id, list(PINS), sorted(options.packages), program])
    return f"{REPOSITORY}:{hashlib.sha256(parts.encode()).hexdigest()[:16]}"


def make_image(
    jobs: JobContainers,
    client: Any,
    about: dict[str, Any],
    options: DockerOptions,
    *,
    python: str,
    progress: Callable[[str], None],
) -> str:
    """Make the image `tag_of(...)` and return the interpreter in it.

    Raises:
        SandboxError: It cannot be made; the message says why.
    """
    tag = tag_of(about["Id"], options)
    what = f"the kernel's image of {options.image!r}"
    progress(f"making {what} (once; pip installs into it, {tag}) ...")
    with jobs.created(
        about["Id"],
        entrypoint=[python, "-u", f"{build.HERE}/build.py"],
        command=[],
        user="0",
        working_dir="/",
        host_config=client.create_host_config(network_mode=options.build_network),
        labels=labels("build"),
    ) as container:
        client.put_archive(container, "/", _build_files(options))
        client.start(container)
        lines = _watch(client, container, progress)
        code = int(client.wait(container, timeout=_BUILD_SECONDS)["StatusCode"])
        if code:
            raise SandboxError(_build_failure(code, what, lines, options))
        built = f"{build.HOME}/bin/python"
        config = {
            **about["Config"],
            "Labels": {
                **(about["Config"].get("Labels") or {}),
                PYTHON_LABEL: built,
                f"{LABEL}.made-of": options.image,
            },
        }
        name, _, version = tag.partition(":")
        client.commit(container, repository=name, tag=version, conf=config)
    progress(f"made {what}: {tag}")
    return built


def _watch(client: Any, container: str, progress: Callable[[str], None]) -> list[str]:
    """Show pip's progress as it happens, and return all lines of its output."""
    lines: list[str] = []
    rest = ""
    for data in client.logs(container, stream=True, follow=True):
        *whole, rest = (rest + data.decode("utf-8", "replace")).split("\n")
        for line in whole:
            lines.append(line)
            if line.startswith(("Collecting", "Installing", "Successfully")):
                progress(line[:200])
    return [*lines, rest]


def _build_files(options: DockerOptions) -> bytes:
    job = {
        "oldest_python": OLDEST_PYTHON,
        "index_url": options.pip_index_url,
        "requirements": [*PINS, *options.packages],
    }
    buffer = io.BytesIO()
    folder = build.HERE.strip("/")
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in (
            ("build.py", Path(build.__file__).read_bytes()),
            ("job.json", json.dumps(job).encode()),
        ):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


_NETWORK = (
    *("Temporary failure in name resolution", "Name or service not known", "NewConnectionError"),
    *("Network is unreachable", "ConnectTimeout", "Max retries exceeded", "Connection refused"),
)


def _build_failure(code: int, what: str, lines: list[str], options: DockerOptions) -> str:
    text = "\n".join(lines)
    last = "\n".join(line for line in lines if line.strip())[-1500:]
    if code == 3:  # noqa: PLR2004 - the program's own codes
        return f"{what} could not be made: its Python is too old; kernels need >= 3.11."
    if code == 4:  # noqa: PLR2004
        return (
            f"{what} could not be made: its Python can make no virtual environment with pip in it, "
            f"or has no pip to do without (on Debian: apt-get install python3-venv).\n{last}"
        )
    if "No space left on device" in text:
        return f"{what} could not be made: the Docker engine is out of disk space.\n{last}"
    if any(sign in text for sign in _NETWORK):
        return (
            f"{what} could not be made: pip reaches no package index from the network "
            f"{options.build_network!r}. Set environment_kwargs={{'build_network': 'host'}} or "
            "'pip_index_url', use an image that has ipykernel, or make it where there is a "
            f"network: `rlm kernel build --image {options.image}`.\n{last}"
        )
    return f"{what} could not be made: pip failed.\n{last}"
