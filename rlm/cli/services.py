"""What `rlm doctor` asks of services outside: a Docker engine, a Modal token."""

from __future__ import annotations

import http.client
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rlm.cli.checks import Finding
from rlm_kernel.modal.account import token_source

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 2375

PATIENCE = 3.0
"""Seconds that an engine has to answer."""


def docker() -> Iterator[Finding]:
    """Ask the Docker engine whether it is there, without the docker package."""
    address = os.environ.get("DOCKER_HOST") or _default_socket()
    advice = "Only environment=docker needs it: start the engine (or set DOCKER_HOST)."
    try:
        version = _engine_version(address)
    except NotImplementedError:
        text = f"the engine at {address} was not asked: only unix and plain tcp addresses are"
        yield Finding(about="Docker", state="note", text=text)
    except PermissionError:
        text = f"the engine's socket {address} is not open to this user"
        advice = "Add the user to the group `docker`, or use a rootless engine."
        yield Finding(about="Docker", state="note", text=text, advice=advice)
    except (OSError, http.client.HTTPException) as error:
        text = f"no engine answers at {address} ({error})"
        yield Finding(about="Docker", state="note", text=text, advice=advice)
    else:
        yield Finding(about="Docker", state="ok", text=f"engine {version} at {address}")


def modal() -> Iterator[Finding]:
    """Look whether there is a Modal token; its value is not shown, nor is Modal asked."""
    source = token_source()
    if source is None:
        advice = (
            "Only environment=modal needs one: `modal setup`, or set MODAL_TOKEN_ID and "
            "MODAL_TOKEN_SECRET."
        )
        yield Finding(about="Modal", state="note", text="no token", advice=advice)
        return
    text = f"a token is in {source}; sandboxes have no network unless environment_kwargs ask for it"
    yield Finding(about="Modal", state="ok", text=text)


def containers() -> Iterator[Finding]:
    """Say what holds for a container unless it is relaxed by name; read from what is asked for."""
    from rlm_kernel.docker.container import container_config  # noqa: PLC0415 - needed here alone
    from rlm_kernel.docker.options import docker_options  # noqa: PLC0415 - same

    options = docker_options({})
    asked = container_config(options.image, "python", options)
    host = asked["HostConfig"]
    text = (
        f"environment=docker asks for {options.image}, network {host['NetworkMode']}, "
        f"{'read-only' if host['ReadonlyRootfs'] else 'writable'} root, "
        f"{len(host['Binds']) or 'no'} mounts, capabilities dropped: {', '.join(host['CapDrop'])}, "
        f"{', '.join(host['SecurityOpt'])}, user {asked['User']}, "
        f"{host['Memory'] / (1 << 30):g} GiB of memory, {host['PidsLimit']:,} processes and "
        f"threads, {'all' if options.cpus is None else f'{options.cpus:g}'} CPUs, nothing logged"
    )
    yield Finding(about="containers", state="ok", text=text)


def _default_socket() -> str:
    own = Path("~/.docker/run/docker.sock").expanduser()  # Docker Desktop
    return f"unix://{own if own.exists() else '/var/run/docker.sock'}"


def _engine_version(address: str) -> str:
    """Return the engine's version (Docker Engine API, `GET /_ping` and its `Server` header)."""
    parts = urlsplit(address)
    connection: http.client.HTTPConnection
    if parts.scheme == "unix":
        connection = _UnixConnection(parts.path)
    elif (
        parts.scheme in {"tcp", "http"} and parts.hostname and "DOCKER_TLS_VERIFY" not in os.environ
    ):
        connection = http.client.HTTPConnection(
            parts.hostname, parts.port or 2375, timeout=PATIENCE
        )
    else:
        raise NotImplementedError
    try:
        connection.request("GET", "/_ping")
        reply = connection.getresponse()
        reply.read()
        if reply.status != http.client.OK:
            raise OSError(f"status {reply.status}")
        return (reply.getheader("Server") or "unknown").partition(" ")[0]
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)
