"""Installs the kernelspec `rlm`, for JupyterLab's launcher and `jupyter console --kernel rlm`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

KERNEL_NAME = "rlm"


def kernel_spec(executable: str = sys.executable) -> dict[str, Any]:
    """Return the kernelspec that the wheel carries, with this interpreter in its command."""
    packaged = Path(__file__).parent / "kernelspec" / KERNEL_NAME / "kernel.json"
    spec: dict[str, Any] = json.loads(packaged.read_text())
    spec["argv"][0] = executable
    return spec


def write_kernel_spec(folder: Path) -> Path:
    """Write the kernelspec's folder."""
    target = folder / KERNEL_NAME
    target.mkdir()
    (target / "kernel.json").write_text(json.dumps(kernel_spec(), indent=2) + "\n")
    return target


def install(*, user: bool = False, prefix: str | None = None) -> str:
    """Install the kernelspec.

    Args:
        user: For this user; else for `prefix`.
        prefix: For this environment; by default the running interpreter's.

    Returns:
        Where it lies now.

    Raises:
        OSError: The folder cannot be written.
    """
    from jupyter_client.kernelspec import KernelSpecManager  # noqa: PLC0415 - slow to import

    folder = Path(tempfile.mkdtemp(prefix="rlm-kernelspec-"))
    try:
        source = write_kernel_spec(folder)
        destination: str = KernelSpecManager().install_kernel_spec(
            str(source),
            KERNEL_NAME,
            user=user,
            prefix=None if user else (prefix or sys.prefix),
        )
    finally:
        shutil.rmtree(folder)
    return destination


def main(argv: list[str]) -> int:
    """Run `python -m rlm_kernel install`."""
    parser = argparse.ArgumentParser(
        prog="python -m rlm_kernel install",
        description="Install the kernelspec `rlm` for JupyterLab's launcher: 'RLM (local)'.",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="install for this user")
    where.add_argument(
        "--prefix", help="install into this environment (default: the running Python's)"
    )
    arguments = parser.parse_args(argv)
    try:
        destination = install(user=arguments.user, prefix=arguments.prefix)
    except OSError as error:
        print(  # noqa: T201 - a command's own message
            f"The kernelspec could not be installed: {error}. Try --user.", file=sys.stderr
        )
        return 1
    print(f"Installed the kernelspec {KERNEL_NAME!r} in {destination}")  # noqa: T201
    return 0
