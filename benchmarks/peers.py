"""Who is measured, and the virtual environment of each."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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
        extra: Whether it is measured only when it is asked for.
    """

    key: str
    title: str
    script: tuple[str, ...]
    venv: str | None = None
    packages: tuple[str, ...] = ()
    extra: bool = False

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return Path(sys.executable) if self.venv is None else PLACE / self.venv / "bin" / "python"


_RLMS = ("rlms[ipython]==0.1.3", "openai==3.54.0", "ipykernel==7.4.0", "jupyter_client==8.10.0")

PEERS = (
    Peer(key="ours", title="ours (kernel)", script=("worker_rlm.py", "rlm-kernel", "local")),
    Peer(
        key="docker",
        title="ours (docker)",
        script=("worker_rlm.py", "rlm-kernel", "docker"),
        extra=True,
    ),
    Peer(
        key="docker_warm",
        title="ours (docker, reuse)",
        script=("worker_rlm.py", "rlm-kernel", "docker+reuse"),
        extra=True,
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
