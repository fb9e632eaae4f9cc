"""The options of a container: secure by default, and each relaxation has a name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rlm_kernel.sizes import byte_count

IMAGE = "python:3.11-slim"

NOBODY = "65534:65534"


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerOptions:
    """The `environment_kwargs` of the environment `docker`.

    By default a container has no network, a read-only root with scratch space in memory, no
    capabilities, no way to new privileges, an unprivileged user, nothing of the host's environment
    or files, and limits on processes, memory and CPU.

    Attributes:
        image: The image; it needs Python >= 3.11. If it has no ipykernel, we use an image made
            from it.
        packages: Packages that pip also installs, into an image made once for them.
        build_network: The network in which that image is made.
        pip_index_url: The package index that pip uses; None for pip's default.
        network: The kernels' network mode, such as ``"bridge"``.
        mem_limit: Memory of the whole container, contexts and scratch files included.
        cpus: How many of the engine's processors it may use at once; None for all.
        pids_limit: Processes and threads of the whole container.
        volumes: Folders or volumes to mount: `{source: target}` or `{source: {"bind", "mode"}}`.
        gpus: ``"all"``, a number, or a list of device ids.
        user: The user, `uid:gid`.
        workdir: The folder in which cells start; each kernel's own by default.
        shm_size: Size of `/dev/shm`.
        reuse: Keep a cleaned container for the next run, which need not start one.
    """

    image: str = IMAGE
    packages: tuple[str, ...] = ()
    build_network: str = "bridge"
    pip_index_url: str | None = None
    network: str = "none"
    mem_limit: int = 4 << 30
    cpus: float | None = 4.0
    pids_limit: int = 2048
    volumes: dict[str, Any] = field(default_factory=dict)
    gpus: str | int | list[str] | None = None
    user: str = NOBODY
    workdir: str | None = None
    shm_size: int = 64 << 20
    reuse: bool = False


DOCKER_KWARGS = tuple(DockerOptions.__dataclass_fields__)
"""The names of the `environment_kwargs` of `docker`."""


def docker_options(kwargs: dict[str, Any]) -> DockerOptions:
    """Check `environment_kwargs` and return the options.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: A value is not allowed.
    """
    given = {name: value for name, value in kwargs.items() if name in DOCKER_KWARGS}
    for name in ("image", "build_network", "network", "user"):
        _require_text(name, given.get(name, "x"))
    for name in ("pip_index_url", "workdir"):
        if given.get(name) is not None:
            _require_text(name, given[name])
    given["packages"] = _packages(given.get("packages"))
    if given.get("cpus") is not None and not _is_number(given["cpus"], 0.01):
        raise ValueError(f"cpus must be a number such as 1.5, not {given['cpus']!r}.")
    if "pids_limit" in given and not (
        _is_number(given["pids_limit"], 32) and isinstance(given["pids_limit"], int)
    ):
        raise ValueError(f"pids_limit must be a whole number >= 32, not {given['pids_limit']!r}.")
    for name in ("mem_limit", "shm_size"):
        if name in given:
            given[name] = byte_count(name, given[name])
    given["volumes"] = _volumes(given.get("volumes"))
    _check_gpus(given.get("gpus"))
    if not isinstance(given.get("reuse", False), bool):
        raise TypeError(f"reuse must be True or False, not {given['reuse']!r}.")
    if (workdir := given.get("workdir")) and not workdir.startswith("/"):
        raise ValueError(f"workdir must be an absolute path in the container, not {workdir!r}.")
    return DockerOptions(**given)


def _packages(value: Any) -> tuple[str, ...]:
    packages = value or ()
    if isinstance(packages, str) or not all(isinstance(one, str) and one for one in packages):
        raise TypeError("packages must be a list of what pip installs, such as ['pandas>=2'].")
    if any(one.lstrip().startswith("-") for one in packages):
        raise ValueError("packages takes requirements, no options of pip.")
    return tuple(packages)


def _check_gpus(gpus: Any) -> None:
    if not (
        gpus in (None, "all")
        or (isinstance(gpus, int) and not isinstance(gpus, bool) and gpus > 0)
        or (isinstance(gpus, list) and all(isinstance(one, str) for one in gpus))
    ):
        raise ValueError(f"gpus must be 'all', a number, or a list of device ids, not {gpus!r}.")


def _volumes(value: Any) -> dict[str, Any]:
    volumes = value or {}
    if not isinstance(volumes, dict):
        raise TypeError("volumes must be a dict, such as {'/data': '/data'}.")
    found = {}
    for source, target in volumes.items():
        about = {"bind": target, "mode": "rw"} if isinstance(target, str) else target
        if not (isinstance(source, str) and isinstance(about, dict) and about.get("bind")):
            raise TypeError(
                f"volumes[{source!r}] must be a path in the container or {{'bind': path, 'mode': "
                f"'ro' or 'rw'}}, not {target!r}."
            )
        found[source] = {"mode": "rw", **about}
    return found


def _require_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{name} must be a non-empty str, not {value!r}.")


def _is_number(value: Any, minimum: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= minimum
