"""A Docker engine: where it is, the SDK's client for it, and what to do about its errors."""

from __future__ import annotations

import contextlib
import functools
import http
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rlm_kernel.docker.stream import EngineAddress
from rlm_kernel.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 60
"""Seconds that the engine has for one request."""


def engine_address() -> EngineAddress:
    """Return the engine that the docker command would use (`DOCKER_HOST` and related variables)."""
    url = os.environ.get("DOCKER_HOST") or _default_url()
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    tls = verify or bool(os.environ.get("DOCKER_TLS"))
    certificates = os.environ.get("DOCKER_CERT_PATH") or str(Path("~/.docker").expanduser())
    return EngineAddress(
        url=url,
        tls=tls and url.startswith("tcp"),
        verify=verify or not tls,
        certificates=certificates if tls else None,
    )


def _default_url() -> str:
    own = Path("~/.docker/run/docker.sock").expanduser()  # Docker Desktop
    return f"unix://{own if own.exists() else '/var/run/docker.sock'}"


@functools.lru_cache(maxsize=8)
def engine(address: EngineAddress) -> Any:
    """Return the SDK's client for an engine, connected.

    Raises:
        SandboxError: It cannot be reached; the message says what to do.
    """
    try:
        import docker
        import docker.constants
    except ImportError:
        raise SandboxError(
            "The package docker is missing: pip install 'rlm-kernel[docker]'."
        ) from None
    with explaining(address):
        check_socket(address)
        oldest = docker.constants.MINIMUM_DOCKER_API_VERSION
        with contextlib.closing(_client(address, oldest)) as first:
            version = first.version(api_version=False)["ApiVersion"]
        return _client(address, version)


def _client(address: EngineAddress, version: str) -> Any:
    import docker
    import docker.tls

    if address.url.startswith("ssh:"):
        from rlm_kernel.docker.ssh import ssh_adapter

        client = docker.APIClient("http://docker:80", version=version, timeout=TIMEOUT)
        client.mount("http://", ssh_adapter(address.url))
    else:
        tls: Any = False
        if address.tls:
            folder = Path(address.certificates or "")
            tls = docker.tls.TLSConfig(
                client_cert=(str(folder / "cert.pem"), str(folder / "key.pem")),
                ca_cert=str(folder / "ca.pem") if address.verify else None,
                verify=address.verify,
            )
        client = docker.APIClient(address.url, version=version, tls=tls, timeout=TIMEOUT)
    # REQUESTS_CA_BUNDLE would replace the engine's own CA
    client.trust_env = False
    return client


def check_socket(address: EngineAddress) -> None:
    """Raise the operating system's error about the engine's socket: the SDK's says less."""
    parts = urlsplit(address.url)
    if parts.scheme == "unix":
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(parts.path)


@contextlib.contextmanager
def explaining(address: EngineAddress) -> Iterator[None]:
    """Raise errors of the block as `explained`; a `SandboxError` passes unchanged."""
    try:
        yield
    except SandboxError:
        raise
    except Exception as error:
        raise explained(error, address) from error


def explained(error: BaseException, address: EngineAddress) -> SandboxError:
    """Return an error that says what to do about an error of the SDK or of the connection."""
    text = f"{error}"
    low = text.lower()
    denied = isinstance(error, PermissionError) or "permission denied" in low
    if denied and "unix:" in address.url:
        return SandboxError(
            f"The Docker engine's socket {address.url} is not open to this user. Add the user to "
            "the group `docker` and log in again, or use a rootless engine (DOCKER_HOST)."
        )
    if "no space left on device" in low or "disk quota" in low:
        return SandboxError(
            f"The Docker engine is out of disk space ({_short(text)}). Free some: `rlm kernel "
            "prune` removes what we left, `docker system prune` what nothing uses."
        )
    status = _status(error)
    if denied and status is None and address.tls:
        return SandboxError(
            f"This user may not read what the Docker engine at {address.url} needs "
            f"({_short(text)}): make ca.pem, cert.pem and key.pem in {address.certificates!r} "
            "readable, or set DOCKER_CERT_PATH to a folder that is."
        )
    if status is None:
        return SandboxError(
            f"No Docker engine answers at {address.url} ({_short(text)}). Start it, or set "
            "DOCKER_HOST to one that runs."
        )
    explanation = getattr(error, "explanation", None) or text
    return SandboxError(f"The Docker engine refused: {_short(str(explanation))}")


def is_missing(error: BaseException) -> bool:
    """Return whether the engine says that something does not exist."""
    return _status(error) == http.HTTPStatus.NOT_FOUND


def is_removed(error: BaseException) -> bool:
    """Return whether a container that we remove is gone, or about to be."""
    return is_missing(error) or "already in progress" in str(error)


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an engine's refusal; None for other errors."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _short(text: str) -> str:
    return " ".join(text.split())[:500]
