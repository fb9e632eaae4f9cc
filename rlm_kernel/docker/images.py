"""Finds the image a kernel runs in: the one asked for, or one made of it once and kept.

An image with a fitting Python and ipykernel is used as it is; whether it has them is asked once
for each image. Of any other an image is made (pip installs the pinned requirements of a kernel),
tagged by all that went into it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import tarfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.docker import build
from rlm_kernel.docker.container_config import LABEL, labels
from rlm_kernel.docker.engine import explained, is_missing, is_removed
from rlm_kernel.errors import SandboxError
from rlm_kernel.kernel_requirements import IPYKERNEL, OLDEST_PYTHON, PINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlm_kernel.docker.options import DockerOptions
    from rlm_kernel.docker.stream import EngineAddress

REPOSITORY = "rlm-kernel"
PYTHON_LABEL = f"{LABEL}.python"

_BUILD_SECONDS = 1800
_PROBE_SECONDS = 60
_PROBE = """\
import json, sys
found = {"python": sys.executable, "version": sys.version_info[:2], "ipykernel": None}
try:
    import zmq
    from importlib.metadata import version
    found["ipykernel"] = version("ipykernel")
except Exception: pass
print(json.dumps(found))
"""

_building = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelImage:
    """An image that a kernel can run in.

    Attributes:
        name: Its id or tag.
        python: The interpreter in it.
    """

    name: str
    python: str


def say(text: str) -> None:
    """Show a line of progress to whoever waits: making an image takes a minute."""
    sys.stderr.write(f"rlm: {text}\n")
    sys.stderr.flush()


class Images:
    """The images of one engine. Its methods block: call them on a thread.

    Args:
        client: The SDK's client.
        address: The engine's, for messages.
        progress: Shown lines of progress.
    """

    def __init__(
        self, client: Any, address: EngineAddress, progress: Callable[[str], None] = say
    ) -> None:
        self._client = client
        self._address = address
        self._progress = progress
        self._stopped = threading.Event()
        self._container: str | None = None

    def resolve(self, options: DockerOptions) -> KernelImage:
        """Return the image to use; make it when there is none yet.

        Raises:
            SandboxError: There is none and it cannot be made; the message says why.
        """
        try:
            about = self._inspect(options.image)
            if about is None:
                about = self._pull(options.image)
            with _building:  # two trees that start together make it once
                self._check()
                ready = self._ready(about, options)
                if ready is not None:
                    return ready
                found = self._probed(about["Id"], options.image)
                if not options.packages and _fits(found["ipykernel"]):
                    return KernelImage(name=about["Id"], python=found["python"])
                return self._make(about, options, found["python"], _tag(about["Id"], options))
        except SandboxError:
            raise
        except Exception as error:
            raise explained(error, self._address) from error

    def stop(self) -> None:
        """End what `resolve` does on another thread; no container of it stays."""
        self._stopped.set()
        if (container := self._container) is not None:
            with contextlib.suppress(Exception):  # `resolve` tries again
                self._remove(container)

    def find(self, options: DockerOptions) -> KernelImage | None:
        """Return the image to use when that is known without pulling, probing or making one."""
        about = self._inspect(options.image)
        if about is None:
            return None
        ready = self._ready(about, options)
        if ready is not None:
            return ready
        found = _known(about["Id"])
        if found is not None and not options.packages and _fits(found["ipykernel"]):
            return KernelImage(name=about["Id"], python=found["python"])
        return None

    def _ready(self, about: dict[str, Any], options: DockerOptions) -> KernelImage | None:
        """Return an image that is a kernel's own, or that has been made of this one."""
        labels = about["Config"].get("Labels") or {}
        if PYTHON_LABEL in labels and not options.packages:
            return KernelImage(name=about["Id"], python=labels[PYTHON_LABEL])
        tag = _tag(about["Id"], options)
        made = self._inspect(tag)
        if made is None:
            return None
        return KernelImage(name=tag, python=made["Config"]["Labels"][PYTHON_LABEL])

    def _inspect(self, name: str) -> dict[str, Any] | None:
        try:
            about: dict[str, Any] = self._client.inspect_image(name)
        except Exception as error:
            if is_missing(error):
                return None
            raise
        return about

    def _pull(self, name: str) -> dict[str, Any]:
        self._progress(f"pulling the image {name!r} ...")
        repository, _, tag = name.partition("@") if "@" in name else _split_tag(name)
        why = "the engine does not say why"
        try:
            for line in self._client.pull(repository, tag=tag or None, stream=True, decode=True):
                self._check()
                why = str(line.get("error", why))
        except SandboxError:
            raise
        except Exception as error:
            why = str(getattr(error, "explanation", error))
            raise SandboxError(_no_image(name, why)) from error
        about = self._inspect(name)
        if about is None:
            raise SandboxError(_no_image(name, why))
        return about

    # Probing

    def _probed(self, image_id: str, name: str) -> dict[str, Any]:
        """Return what an image has, asked once for each id."""
        known = _known(image_id)
        if known is not None:
            return known
        found = self._probe(image_id, name)
        file = _probe_file(image_id)
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps(found))
            partial.replace(file)
        return found

    def _probe(self, image_id: str, name: str) -> dict[str, Any]:
        for python in ("python3", "python"):
            code, output = self._run(
                image_id,
                [python, "-c", _PROBE],
                seconds=_PROBE_SECONDS,
                host_config={"network_mode": "none"},
            )
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

    def _run(
        self, image: str, command: list[str], *, seconds: int, host_config: dict[str, Any]
    ) -> tuple[int, str]:
        """Run a command in a container of its own; 127 when there is no such command."""
        with self._own(
            image,
            entrypoint=command[:1],
            command=command[1:],
            host_config=self._client.create_host_config(**host_config),
            labels=labels("probe"),
        ) as container:
            try:
                self._client.start(container)
            except Exception as error:
                if "executable file not found" in str(error) or "no such file" in str(error):
                    return 127, ""
                raise
            code = int(self._client.wait(container, timeout=seconds)["StatusCode"])
            return code, self._client.logs(container).decode("utf-8", "replace")

    @contextlib.contextmanager
    def _own(self, image: str, **config: Any) -> Iterator[str]:
        """Create a container that is removed afterwards, or when `stop` is called."""
        container = self._client.create_container(image, use_config_proxy=False, **config)["Id"]
        self._container = container
        try:
            self._check()  # after the line above: this sees a stop, or that the container
            yield container
        finally:
            self._container = None
            self._remove(container)

    def _remove(self, container: str) -> None:
        try:
            self._client.remove_container(container, force=True, v=True)
        except Exception as error:
            if not is_removed(error):
                raise

    def _check(self) -> None:
        if self._stopped.is_set():
            raise SandboxError("The start was cancelled while its image was being made.")

    # Making

    def _make(
        self, about: dict[str, Any], options: DockerOptions, python: str, tag: str
    ) -> KernelImage:
        what = f"the kernel's image of {options.image!r}"
        self._progress(f"making {what} (once; pip installs into it, {tag}) ...")
        with self._own(
            about["Id"],
            entrypoint=[python, "-u", f"{build.HERE}/build.py"],
            command=[],
            user="0",
            working_dir="/",
            host_config=self._client.create_host_config(network_mode=options.build_network),
            labels=labels("build"),
        ) as container:
            self._client.put_archive(container, "/", _build_files(options))
            self._client.start(container)
            lines = self._watch(container)
            code = int(self._client.wait(container, timeout=_BUILD_SECONDS)["StatusCode"])
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
            self._client.commit(container, repository=name, tag=version, conf=config)
        self._progress(f"made {what}: {tag}")
        return KernelImage(name=tag, python=built)

    def _watch(self, container: str) -> list[str]:
        """Show what pip says as it comes; return its lines."""
        lines: list[str] = []
        rest = ""
        for data in self._client.logs(container, stream=True, follow=True):
            *whole, rest = (rest + data.decode("utf-8", "replace")).split("\n")
            for line in whole:
                lines.append(line)
                if line.startswith(("Collecting", "Installing", "Successfully")):
                    self._progress(line[:200])
        return [*lines, rest]


def _split_tag(name: str) -> tuple[str, str, str]:
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return name, "", "latest"
    return head, colon, tag


def _fits(version: str | None) -> bool:
    if version is None:
        return False
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    return IPYKERNEL[0] <= numbers < IPYKERNEL[1]


def _known(image_id: str) -> dict[str, Any] | None:
    """Return what a probe has found in an image; None when there was none."""
    with contextlib.suppress(OSError, ValueError):
        known: dict[str, Any] = json.loads(_probe_file(image_id).read_text())
        return known
    return None


def _probe_file(image_id: str) -> Path:
    return _cache_folder() / f"{image_id.replace(':', '-')}.json"


def _tag(image_id: str, options: DockerOptions) -> str:
    return f"{REPOSITORY}:{_digest(image_id, options.packages)}"


def _digest(image_id: str, packages: tuple[str, ...]) -> str:
    program = Path(build.__file__).read_text()
    parts = json.dumps([image_id, list(PINS), sorted(packages), program])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(root, "rlm-kernel", "images")


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


def _no_image(name: str, why: str) -> str:
    return (
        f"The image {name!r} is not on the Docker engine and could not be pulled: "
        f"{' '.join(why.split())[:300]}. Check its name, or load it there (`docker load`)."
    )


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
