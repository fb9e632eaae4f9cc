"""What `rlm doctor` looks at; each check returns findings and raises nothing."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlm_kernel.host.subcalls import Call, CallAnswer

State = Literal["ok", "note", "problem"]

CORE = ("ipykernel", "jupyter_client", "nbformat", "openai", "rich")
OPTIONAL = {
    "anthropic": ("anthropic", "the Anthropic API"),
    "litellm": ("litellm", "LiteLLM"),
    "docker": ("docker", "runs in containers"),
    "modal": ("modal", "runs in Modal sandboxes"),
    "anywidget": ("notebook", "the viewer in notebooks"),
    "opentelemetry-sdk": ("otel", "traces"),
}
"""Distribution to the extra that brings it and what it is for."""

OLDEST = (3, 11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        about: What was looked at, in a word or two.
        state: `note`: something is missing that not everybody needs; `problem`: it must be mended.
        text: What was found.
        advice: What to do about it; empty when there is nothing to do.
        core: Whether runs cannot work while it is a problem.
    """

    about: str
    state: State
    text: str
    advice: str = ""
    core: bool = False


def python() -> Iterator[Finding]:
    """Look at the interpreter and the operating system."""
    version = platform.python_version()
    text = f"{version} at {sys.executable}, {platform.platform(terse=True)}"
    if sys.version_info < OLDEST:
        advice = "Install Python 3.11 or later and make a new environment with it."
        yield Finding(about="Python", state="problem", text=text, advice=advice, core=True)
    elif sys.platform not in {"linux", "darwin"}:
        advice = "Tested on Linux and macOS; on Windows use WSL."
        yield Finding(about="Python", state="note", text=text, advice=advice)
    else:
        yield Finding(about="Python", state="ok", text=text)


def packages() -> Iterator[Finding]:
    """Look at our own distribution, what it needs, and who else has its import name."""
    rlms = _version("rlms")
    if rlms is not None:
        yield Finding(
            about="import name",
            state="problem",
            text=f"rlms {rlms} is installed too, and both own the import name `rlm`: "
            "files of one have replaced files of the other.",
            advice="pip uninstall -y rlms, then pip install --force-reinstall --no-deps "
            "rlm-kernel; give rlms an environment of its own.",
            core=True,
        )
    ours = _version("rlm-kernel")
    where = Path(__file__).parent.parent
    if ours is None:
        yield Finding(
            about="rlm-kernel",
            state="note",
            text=f"not installed; running from {where}",
            advice="pip install -e . in its folder makes the command and the kernels known.",
        )
    else:
        yield Finding(about="rlm-kernel", state="ok", text=f"{ours} at {where}")
    for name in CORE:
        version = _version(name)
        if version is None:
            advice = "pip install --upgrade rlm-kernel"
            yield Finding(about=name, state="problem", text="missing", advice=advice, core=True)
        else:
            yield Finding(about=name, state="ok", text=version)


def extras() -> Iterator[Finding]:
    """Look at the optional packages."""
    for name, (extra, purpose) in OPTIONAL.items():
        version = _version(name)
        if version is None:
            advice = f"pip install 'rlm-kernel[{extra}]'"
            text = f"not installed; needed for {purpose} only"
            yield Finding(about=name, state="note", text=text, advice=advice)
        else:
            yield Finding(about=name, state="ok", text=f"{version}, for {purpose}")


def keys() -> Iterator[Finding]:
    """Look at which backends have a key; the values are neither read nor shown."""
    from rlm.backends.providers import PROVIDERS

    names = {p.name: p.key_variable for p in PROVIDERS.values() if p.key_variable}
    having = [backend for backend, variable in names.items() if os.environ.get(variable)]
    for backend in having:
        yield Finding(about="key", state="ok", text=f"{names[backend]} is set ({backend})")
    lacking = [variable for backend, variable in names.items() if backend not in having]
    if not having:
        yield Finding(
            about="key",
            state="note",
            text=f"none is set ({', '.join(lacking)})",
            advice="Set the one of your provider; `vllm` and other servers of your own need none, "
            "and `rlm demo` needs none.",
        )
    elif lacking:
        yield Finding(about="key", state="note", text=f"not set: {', '.join(lacking)}")


def kernel() -> Iterator[Finding]:
    """Start a kernel for real, run a cell in it, and end it."""
    start = time.perf_counter()
    try:
        asyncio.run(_run_a_cell())
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is the finding
        yield Finding(
            about="kernel",
            state="problem",
            text=f"none could be started and used: {type(error).__name__}: {error}",
            advice="RLM_KERNEL_DEBUG=1 rlm doctor shows what the kernel itself says. Is the "
            "temporary directory writable and not full, and are processes allowed?",
            core=True,
        )
    else:
        seconds = time.perf_counter() - start
        yield Finding(
            about="kernel",
            state="ok",
            text=f"started, ran a cell and ended in {seconds:.2f} s (environment `local`)",
        )
    yield Finding(
        about="local",
        state="note",
        text="the environment `local` is a process of your own user, without your keys, but not a "
        "boundary against hostile code (files, other processes)",
        advice="For inputs or models that you do not trust use environment=docker.",
    )


def kernelspec() -> Iterator[Finding]:
    """Look whether Jupyter offers our kernel to people."""
    from jupyter_client.kernelspec import (
        KernelSpecManager,
    )

    folder = KernelSpecManager().find_kernel_specs().get("rlm")
    if folder is not None:
        yield Finding(about="kernelspec", state="ok", text=f"Jupyter finds `rlm` in {folder}")
    else:
        yield Finding(
            about="kernelspec",
            state="note",
            text="Jupyter does not know the kernel `rlm` (runs do not need it)",
            advice="python -m rlm_kernel install",
        )


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
