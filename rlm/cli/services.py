"""What `rlm doctor` asks of services outside: a Docker engine, a Modal token."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING

from rlm.cli.checks import Finding
from rlm_kernel.errors import SandboxError
from rlm_kernel.modal.account import token_source

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 3.0
"""Seconds that an engine has to answer."""

SSH_PATIENCE = 10.0
"""The same for one on another machine, where somebody has to log in first."""


def docker() -> Iterator[Finding]:
    """Ask the Docker engine whether it is there, as a run would but without the docker package."""
    from rlm_kernel.docker.engine import engine_address
    from rlm_kernel.docker.engine_api import (
        EngineRefusalError,
        EngineRequests,
    )
    from rlm_kernel.docker.stream import uses_tls

    address = engine_address()
    advice = "Only environment=docker needs it: start the engine (or set DOCKER_HOST)."
    patience = PATIENCE
    if address.url.startswith("ssh:"):
        patience = SSH_PATIENCE
        advice += " Does `docker version` work there, over ssh and without a password?"
    try:
        with contextlib.closing(EngineRequests(address, patience)) as engine:
            version = engine.version()["Version"]
    except (OSError, EngineRefusalError, SandboxError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, PermissionError) and "unix:" in address.url:
            text = f"the engine's socket {address.url} is not open to this user"
            advice = "Add the user to the group `docker`, or use a rootless engine."
            yield Finding(about="Docker", state="note", text=text, advice=advice)
            return
        if isinstance(error, ssl.SSLError):
            advice = "Are ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH those of this engine?"
        elif isinstance(error, PermissionError) and address.tls:
            advice = "May this user read ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH?"
        text = f"no engine answers at {address.url} ({error})"
        yield Finding(about="Docker", state="note", text=text, advice=advice)
    else:
        how = ""
        if address.url.startswith(("tcp:", "http:", "https:")):
            how = ", without TLS"
            if uses_tls(address):
                how = ", over TLS" if address.verify else ", over TLS, its certificate unchecked"
        yield Finding(about="Docker", state="ok", text=f"engine {version} at {address.url}{how}")


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
    from rlm_kernel.docker.container_config import container_config
    from rlm_kernel.docker.options import docker_options

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
