"""The options of a Modal sandbox: no network by default."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from rlm_kernel.sizes import byte_count

APP_NAME = "rlm-kernel"

_MIB = 1 << 20

_MAX_TIMEOUT = 24 * 3600
"""Seconds; Modal's limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalOptions:
    """The `environment_kwargs` of the environment `modal`.

    See https://modal.com/docs/reference/modal.Sandbox for details.

    Attributes:
        app_name: The Modal app of the sandboxes; made when there is none.
        timeout: Seconds after which Modal ends a sandbox; the run goes on in a new one.
        image: A registry's tag such as ``"python:3.12-slim"``, or a `modal.Image`. The kernel's
            packages are installed into it. None: Debian with this Python's version.
        packages: Packages that pip also installs.
        cpu: Cores to reserve, or `(reserve, limit)`.
        memory: Memory to reserve, or `(reserve, limit)`: MiB as in Modal, or text such as ``"4g"``.
        gpu: Such as ``"T4"`` or ``"A100:2"``.
        region: A region, or a list of them.
        idle_timeout: Seconds without any process of ours after which Modal ends a sandbox.
        block_network: Whether cells have no network at all.
        outbound_domain_allowlist: The domains that cells may reach; implies `block_network=False`.
        volumes: `{path in the sandbox: a Volume's name or a modal.Volume}`.
        secrets: Names, `modal.Secret` objects, or dicts. Every cell can read them.
        name: The sandbox's name; unique within the app.
        tags: Further tags of the sandbox.
        workdir: The folder in which cells start; each kernel's own by default.
        reconnect_timeout: Seconds without an answer from Modal after which a sandbox is given up.
    """

    app_name: str = APP_NAME
    timeout: int = 3600
    image: Any = None
    packages: tuple[str, ...] = ()
    cpu: float | tuple[float, float] | None = None
    memory: int | tuple[int, int] | None = None
    gpu: str | None = None
    region: str | list[str] | None = None
    idle_timeout: int | None = None
    block_network: bool = True
    outbound_domain_allowlist: tuple[str, ...] | None = None
    volumes: dict[str, Any] = field(default_factory=dict)
    secrets: tuple[Any, ...] = ()
    name: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    workdir: str | None = None
    reconnect_timeout: float = 60.0


MODAL_KWARGS = tuple(ModalOptions.__dataclass_fields__)
"""The names of the `environment_kwargs` of `modal`."""


def modal_options(kwargs: dict[str, Any]) -> ModalOptions:
    """Check `environment_kwargs` and return the options, without importing `modal`.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: A value is not allowed.
    """
    given = {name: value for name, value in kwargs.items() if name in MODAL_KWARGS}
    for name in ("app_name", "gpu", "name", "workdir"):
        if (name == "app_name" and name in given) or given.get(name) is not None:
            _require_text(name, given[name])
    image = given.get("image")
    if not (image is None or (isinstance(image, str) and image) or hasattr(image, "pip_install")):
        raise TypeError(f"image must be a registry's tag or a modal.Image, not {image!r}.")
    if (workdir := given.get("workdir")) and not workdir.startswith("/"):
        raise ValueError(f"workdir must be an absolute path in the sandbox, not {workdir!r}.")
    _require_seconds(given)
    given["packages"] = _texts("packages", given.get("packages") or ())
    if any(one.lstrip().startswith("-") for one in given["packages"]):
        raise ValueError("packages takes requirements, no options of pip.")
    given["cpu"] = _amount("cpu", given.get("cpu"), _cores)
    given["memory"] = _amount("memory", given.get("memory"), _mebibytes)
    if given.get("region") is not None and not isinstance(given["region"], str):
        given["region"] = list(_texts("region", given["region"]))
    _check_network(given)
    given["volumes"] = _mapping("volumes", given.get("volumes"), "{'/data': 'my-volume'}")
    given["secrets"] = _secrets(given.get("secrets"))
    given["tags"] = _mapping("tags", given.get("tags"), "{'team': 'search'}")
    if not all(isinstance(value, str) for value in given["tags"].values()):
        raise TypeError("tags must be a dict of str to str.")
    return ModalOptions(**given)


def _check_network(given: dict[str, Any]) -> None:
    blocked = given.get("block_network")
    if blocked is not None and not isinstance(blocked, bool):
        raise TypeError(f"block_network must be True or False, not {blocked!r}.")
    domains = given.pop("outbound_domain_allowlist", None)
    if domains is not None:
        if blocked:
            raise ValueError(
                "outbound_domain_allowlist needs a network: leave block_network=True out."
            )
        given["outbound_domain_allowlist"] = _texts("outbound_domain_allowlist", domains)
        given["block_network"] = False
    elif blocked is None:
        given.pop("block_network", None)


def _require_seconds(given: dict[str, Any]) -> None:
    for name in ("timeout", "idle_timeout"):
        value = given.get(name, 1)
        if value is None and name == "idle_timeout":
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number of seconds, not {value!r}.")
        if not 1 <= value <= _MAX_TIMEOUT:
            raise ValueError(f"{name} must be from 1 to {_MAX_TIMEOUT} seconds, not {value!r}.")
    patience = given.get("reconnect_timeout", 1)
    if isinstance(patience, bool) or not isinstance(patience, int | float):
        raise TypeError(f"reconnect_timeout must be a number of seconds, not {patience!r}.")
    if not 0 <= patience < math.inf:
        raise ValueError(f"reconnect_timeout must be 0 or more seconds, not {patience!r}.")


def _amount(name: str, value: Any, one: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, tuple | list):
        if len(value) != 2:  # noqa: PLR2004 - reserve, limit
            raise ValueError(f"{name} must be an amount or (reserve, limit), not {value!r}.")
        return tuple(one(part) for part in value)
    return one(value)


def _cores(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"cpu must be a number of cores such as 0.5, not {value!r}.")
    if not 0 < value < math.inf:
        raise ValueError(f"cpu must be more than 0 cores, not {value!r}.")
    return float(value)


def _mebibytes(value: Any) -> int:
    if isinstance(value, str):
        return max(1, byte_count("memory", value) // _MIB)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"memory must be MiB or text such as '4g', not {value!r}.")
    if value < 1:
        raise ValueError(f"memory must be at least 1 MiB, not {value!r}.")
    return value


def _require_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"{name} must be a non-empty str, not {value!r}.")


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if (
        isinstance(value, str)
        or not isinstance(value, list | tuple)
        or not all(isinstance(one, str) and one for one in value)
    ):
        raise TypeError(f"{name} must be a list of str, not {value!r}.")
    return tuple(value)


def _mapping(name: str, value: Any, example: str) -> dict[str, Any]:
    mapping = value or {}
    if not isinstance(mapping, dict) or not all(isinstance(key, str) for key in mapping):
        raise TypeError(f"{name} must be a dict, such as {example}.")
    return dict(mapping)


def _secrets(value: Any) -> tuple[Any, ...]:
    secrets = value or ()
    if isinstance(secrets, str | dict) or not isinstance(secrets, list | tuple):
        raise TypeError("secrets must be a list of names, dicts or modal.Secret objects.")
    return tuple(secrets)
