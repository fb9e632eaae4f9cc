"""Who is measured, and the virtual environment of each."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).resolve().parent
PLACE = HERE.parent / ".bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One column of the table.

    Attributes:
        key: Its name on the command line and in the results.
        title: Its name in the table.
        script: The worker script and its arguments.
        venv: The virtual environment under ``.bench``; None is the one that runs this.
        packages: What is installed there, pinned.
        docker: Whether it runs code in containers: these stand in a table of their own, measured
            when an engine answers.
        interpreter: The interpreter of another checkout's environment, instead of `venv`.
    """

    key: str
    title: str
    script: tuple[str, ...]
    venv: str | None = None
    packages: tuple[str, ...] = ()
    docker: bool = False
    interpreter: Path | None = None

    @property
    def ours(self) -> bool:
        """Whether it is this package."""
        return "rlm-kernel" in self.script

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        if self.interpreter is not None:
            return self.interpreter
        return Path(sys.executable) if self.venv is None else PLACE / self.venv / "bin" / "python"


_RLMS = ("rlms[ipython]==0.1.3", "openai==3.54.0", "ipykernel==7.4.0", "jupyter_client==8.10.0")

_RLMS_IMAGE = "rlm-bench:rlms"
"""An image with what the reference installs into each of its containers, which it then need not."""

PEERS = (
    Peer(key="ours", title="ours (kernel)", script=("worker_rlm.py", "rlm-kernel", "local")),
    Peer(
        key="docker",
        title="ours (docker)",
        script=("worker_rlm.py", "rlm-kernel", "docker"),
        docker=True,
    ),
    Peer(
        key="docker_warm",
        title="ours (docker, reuse)",
        script=("worker_rlm.py", "rlm-kernel", "docker+reuse"),
        docker=True,
    ),
    Peer(
        key="rlms_docker",
        title="rlms, docker",
        script=("worker_rlm.py", "rlms", f"docker+image={_RLMS_IMAGE}"),
        venv="rlms",
        packages=_RLMS,
        docker=True,
    ),
    Peer(
        key="local",
        title="rlms, in process",
        script=("worker_rlm.py", "rlms", "local"),
        venv="rlms",
        packages=_RLMS,
    ),
    Peer(
        key="ipython",
        title="rlms, kernel",
        script=("worker_rlm.py", "rlms", "ipython"),
        venv="rlms",
        packages=_RLMS,
    ),
    Peer(
        key="dspy",
        title="dspy, local interpreter",
        script=("worker_dspy.py",),
        venv="dspy",
        packages=("dspy==3.4.1",),
    ),
)


def before(checkout: Path) -> tuple[Peer, ...]:
    """Return the peers that are this package as another checkout has it, with a `.venv` there."""
    python = (checkout / ".venv/bin/python").absolute()
    return tuple(
        replace(peer, key=f"before_{peer.key}", title=f"before: {peer.title}", interpreter=python)
        for peer in PEERS
        if peer.ours
    )


def prepare(peer: Peer) -> None:
    """Make a peer's virtual environment, unless it is there with these very pins.

    Raises:
        SystemExit: pip failed; the text says what it said.
    """
    if peer.venv is None:
        return
    folder = PLACE / peer.venv
    stamp, pins = folder / "pins.txt", "\n".join(peer.packages) + "\n"
    if stamp.is_file() and stamp.read_text() == pins:
        return
    print(f"making {folder} for {' '.join(peer.packages)}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    install = [str(peer.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*install, *peer.packages], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"pip could not install {', '.join(peer.packages)}:\n{done.stderr}")
    stamp.write_text(pins)


def engine_answers() -> bool:
    """Tell whether there is a Docker engine."""
    try:
        done = subprocess.run(["docker", "info"], check=False, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def prepare_images(peers: Iterable[Peer]) -> None:
    """Make the images that the peers' containers run in.

    Raises:
        SystemExit: One cannot be made; the text says why.
    """
    for python in sorted({str(peer.python) for peer in peers if peer.ours and peer.docker}):
        _run(python, "-m", "rlm", "kernel", "build")
    if not subprocess.run(
        ["docker", "image", "inspect", _RLMS_IMAGE], check=False, capture_output=True
    ).returncode:
        return
    name, folder = "rlm-bench-making", PLACE / "image"
    packages = folder / "usr/lib/python3/dist-packages"
    target = ["--python-version", "3.11", "--only-binary=:all:", "--target", str(packages)]
    _run(sys.executable, "-m", "pip", "install", "-q", *target, "dill", "requests")
    (folder / "usr/bin").mkdir(exist_ok=True)
    (folder / "usr/bin/python").unlink(missing_ok=True)
    (folder / "usr/bin/python").symlink_to("python3")
    _run("docker", "create", "--name", name, "python:3.11-slim")
    try:
        _run("docker", "cp", f"{folder}/.", f"{name}:/")
        _run("docker", "commit", name, _RLMS_IMAGE)
    finally:
        _run("docker", "rm", name)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
