"""The checks of `rlm doctor`; each returns findings and raises nothing."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import platform
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rlm_kernel.errors import SandboxError
from rlm_kernel.modal.account import token_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlm_kernel.host.subcalls import Call, CallAnswer

State = Literal["ok", "note", "problem"]

CORE = ("ipykernel", "jupyter_client", "openai", "rich")
OPTIONAL = {
    "anthropic": ("anthropic", "the Anthropic API"),
    "litellm": ("litellm", "LiteLLM"),
    "docker": ("docker", "runs in containers"),
    "modal": ("modal", "runs in Modal sandboxes"),
    "anywidget": ("notebook", "the viewer in notebooks"),
    "opentelemetry-sdk": ("otel", "traces"),
}
"""Each optional distribution, the extra that installs it, and its purpose."""

OLDEST = (3, 11)

PATIENCE = 3.0
"""Seconds that a Docker engine has to answer."""

SSH_PATIENCE = 10.0
"""Seconds that a Docker engine behind ssh has to answer: logging in takes time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        about: The thing checked, in a word or two.
        state: `note`: something is missing that not everybody needs; `problem`: it must be fixed.
        text: What was found.
        advice: What to do about it; empty when there is nothing to do.
        core: Whether no run works until the problem is fixed.
    """

    about: str
    state: State
    text: str
    advice: str = ""
    core: bool = False


def _ok(about: str, text: str) -> Finding:
    return Finding(about=about, state="ok", text=text)


def _note(about: str, text: str, advice: str = "") -> Finding:
    return Finding(about=about, state="note", text=text, advice=advice)


def _problem(about: str, text: str, advice: str) -> Finding:
    return Finding(about=about, state="problem", text=text, advice=advice, core=True)


def python() -> Iterator[Finding]:
    """Check the interpreter and the operating system."""
    version = platform.python_version()
    text = f"{version} at {sys.executable}, {platform.platform(terse=True)}"
    if sys.version_info < OLDEST:
        advice = "Install Python 3.11 or later and make a new environment with it."
        yield _problem("Python", text, advice)
    elif sys.platform not in {"linux", "darwin"}:
        yield _note("Python", text, "Tested on Linux and macOS; on Windows use WSL.")
    else:
        yield _ok("Python", text)


def packages() -> Iterator[Finding]:
    """Check our distribution, what it needs, and whether `rlms` has the same import name."""
    rlms = _version("rlms")
    if rlms is not None:
        yield _problem(
            "import name",
            f"rlms {rlms} is installed too, and both own the import name `rlm`: "
            "files of one have replaced files of the other.",
            "pip uninstall -y rlms, then pip install --force-reinstall --no-deps "
            "rlm-kernel; install rlms in another environment.",
        )
    ours = _version("rlm-kernel")
    where = Path(__file__).parent.parent
    if ours is None:
        advice = "pip install -e . in its folder installs the command and the kernels."
        yield _note("rlm-kernel", f"not installed; running from {where}", advice)
    else:
        yield _ok("rlm-kernel", f"{ours} at {where}")
    for name in CORE:
        version = _version(name)
        if version is None:
            yield _problem(name, "missing", "pip install --upgrade rlm-kernel")
        else:
            yield _ok(name, version)


def extras() -> Iterator[Finding]:
    """Check the optional packages."""
    for name, (extra, purpose) in OPTIONAL.items():
        version = _version(name)
        if version is None:
            text = f"not installed; needed for {purpose} only"
            yield _note(name, text, f"pip install 'rlm-kernel[{extra}]'")
        else:
            yield _ok(name, f"{version}, for {purpose}")


def keys() -> Iterator[Finding]:
    """Check which backends have a key, without showing its value."""
    from rlm.backends.providers import PROVIDERS

    names = {p.name: p.key_variable for p in PROVIDERS.values() if p.key_variable}
    having = [backend for backend, variable in names.items() if os.environ.get(variable)]
    for backend in having:
        yield _ok("key", f"{names[backend]} is set ({backend})")
    lacking = ", ".join(variable for backend, variable in names.items() if backend not in having)
    if not having:
        yield _note(
            "key",
            f"none is set ({lacking})",
            "Set the one of your provider; `vllm` and other local servers need none, "
            "and `rlm demo` needs none.",
        )
    elif lacking:
        yield _note("key", f"not set: {lacking}")


def kernel() -> Iterator[Finding]:
    """Start a kernel, run a cell in it, and end it."""
    start = time.perf_counter()
    try:
        asyncio.run(_run_a_cell())
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is the finding
        yield _problem(
            "kernel",
            f"none could be started and used: {type(error).__name__}: {error}",
            "RLM_KERNEL_DEBUG=1 rlm doctor shows what the kernel itself says. Is the "
            "temporary directory writable and not full, and may this user start processes?",
        )
    else:
        seconds = time.perf_counter() - start
        yield _ok(
            "kernel", f"started, ran a cell and ended in {seconds:.2f} s (environment `local`)"
        )
    yield _note(
        "local",
        "the environment `local` is a process of your user, without your keys, but not a "
        "boundary against hostile code (files, other processes)",
        "For inputs or models that you do not trust use environment=docker.",
    )


def kernelspec() -> Iterator[Finding]:
    """Check whether Jupyter lists our kernel."""
    from jupyter_client.kernelspec import KernelSpecManager

    folder = KernelSpecManager().find_kernel_specs().get("rlm")
    if folder is not None:
        yield _ok("kernelspec", f"Jupyter finds `rlm` in {folder}")
    else:
        yield _note(
            "kernelspec",
            "Jupyter does not know the kernel `rlm` (runs do not need it)",
            "python -m rlm_kernel install",
        )


def docker() -> Iterator[Finding]:
    """Ask the Docker engine for its version, as a run does, but without the package `docker`."""
    from rlm_kernel.docker.engine import engine_address
    from rlm_kernel.docker.engine_api import EngineRefusalError, EngineRequests
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
            yield _note("Docker", text, advice)
            return
        if isinstance(error, ssl.SSLError):
            advice = "Are ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH those of this engine?"
        elif isinstance(error, PermissionError) and address.tls:
            advice = "May this user read ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH?"
        yield _note("Docker", f"no engine answers at {address.url} ({error})", advice)
    else:
        how = ""
        if address.url.startswith(("tcp:", "http:", "https:")):
            how = ", without TLS"
            if uses_tls(address):
                how = ", over TLS" if address.verify else ", over TLS, its certificate unchecked"
        yield _ok("Docker", f"engine {version} at {address.url}{how}")


def modal() -> Iterator[Finding]:
    """Check whether there is a Modal token, without showing it or asking Modal."""
    source = token_source()
    if source is None:
        advice = (
            "Only environment=modal needs one: `modal setup`, or set MODAL_TOKEN_ID and "
            "MODAL_TOKEN_SECRET."
        )
        yield _note("Modal", "no token", advice)
        return
    text = f"a token is in {source}; sandboxes have no network unless environment_kwargs ask for it"
    yield _ok("Modal", text)


def containers() -> Iterator[Finding]:
    """Report a container's default limits, from the request that a run would send."""
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
    yield _ok("containers", text)


async def _run_a_cell() -> None:
    from rlm_kernel.host.kernel_options import KernelOptions
    from rlm_kernel.host.session import open_session
    from rlm_kernel.local.sandbox import local_sandbox

    sandbox = local_sandbox()
    try:
        await sandbox.start()
        session = await open_session(sandbox, KernelOptions(), _nobody_calls)
        try:
            result = await session.execute("6 * 7", timeout=30)
        finally:
            await session.close()
    finally:
        await sandbox.close()
    shown = [output.get("data", {}).get("text/plain") for output in result.outputs]
    if result.status != "ok" or shown != ["42"]:
        raise RuntimeError(f"6 * 7 gave {shown} ({result.status}: {result.error})")


async def _nobody_calls(call: Call) -> CallAnswer:
    raise AssertionError(call)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
