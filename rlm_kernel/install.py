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


def kernel_spec(name: str, executable: str = sys.executable) -> dict[str, Any]:
    """Return a kernelspec that the wheel carries, with this interpreter in its command."""
    spec: dict[str, Any] = json.loads((_PACKAGED / name / "kernel.json").read_text())
    spec["argv"][0] = executable
    return spec


def write_kernel_spec(name: str, folder: Path) -> Path:
    """Write a kernelspec's folder, its logos included."""
    target = folder / name
    shutil.copytree(_PACKAGED / name, target)
    (target / "kernel.json").write_text(json.dumps(kernel_spec(name), indent=2) + "\n")
    return target


def install(*, user: bool = False, prefix: str | None = None) -> list[str]:
    """Install the kernelspecs.

    Args:
        user: For this user; else for `prefix`.
        prefix: For this environment; by default the running interpreter's.

    Returns:
        Where they lie now.

    Raises:
        OSError: The folder cannot be written.
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
