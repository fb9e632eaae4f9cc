"""Installs the kernelspecs, for JupyterLab's launcher and `jupyter console --kernel rlm`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

KERNEL_NAMES = ("rlm", "rlm-docker", "rlm-modal")

_PACKAGED = Path(__file__).parent / "kernelspec"


def kernel_spec(name: str) -> dict[str, Any]:
    """Return a packaged kernelspec whose command starts this interpreter."""
    spec: dict[str, Any] = json.loads((_PACKAGED / name / "kernel.json").read_text())
    spec["argv"][0] = sys.executable
    return spec


def write_kernel_spec(name: str, folder: Path) -> Path:
    """Write a kernelspec's folder with its logos."""
    target = folder / name
    shutil.copytree(_PACKAGED / name, target)
    (target / "kernel.json").write_text(json.dumps(kernel_spec(name), indent=2) + "\n")
    return target


def install(*, user: bool = False, prefix: str | None = None) -> list[str]:
    """Install the kernelspecs and return their folders.

    Args:
        user: Install for this user, and ignore `prefix`.
        prefix: Install into this environment; None: the running interpreter's.

    Raises:
        OSError: A folder cannot be written.
    """
    from jupyter_client.kernelspec import KernelSpecManager

    folder = Path(tempfile.mkdtemp(prefix="rlm-kernelspec-"))
    try:
        return [
            KernelSpecManager().install_kernel_spec(
                str(write_kernel_spec(name, folder)),
                name,
                user=user,
                prefix=None if user else (prefix or sys.prefix),
            )
            for name in KERNEL_NAMES
        ]
    finally:
        shutil.rmtree(folder)


def main(argv: list[str]) -> int:
    """Run `python -m rlm_kernel install`."""
    parser = argparse.ArgumentParser(
        prog="python -m rlm_kernel install",
        description="Install kernelspecs for JupyterLab's launcher: 'RLM (local)' and others.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="install for this user")
    where.add_argument(
        "--prefix", help="install into this environment (default: the running Python's)"
    )
    arguments = parser.parse_args(argv)
    try:
        destinations = install(user=arguments.user, prefix=arguments.prefix)
    except OSError as error:
        print(  # noqa: T201 - a command's own message
            f"The kernelspecs could not be installed: {error}. Try --user.", file=sys.stderr
        )
        return 1
    for name, destination in zip(KERNEL_NAMES, destinations, strict=True):
        print(f"Installed the kernelspec {name!r} in {destination}")  # noqa: T201
    return 0
