"""The program that runs inside a container to make a kernel's image of it; standard library only.

It makes a virtual environment that sees the image's packages and installs the kernel's packages
into it, so that nothing of the image changes. Its job is in a file next to it, which it deletes:
the address of a package index may hold a password, and others can see an image.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

HERE = "/rlm-build"
HOME = "/opt/rlm-kernel"


def main() -> int:
    """Make the environment; the exit code says what failed."""
    with open(f"{HERE}/job.json", encoding="utf-8") as file:  # noqa: PTH123 - any Python may run this
        job = json.load(file)
    os.remove(f"{HERE}/job.json")  # noqa: PTH107 - same
    if sys.version_info < tuple(job["oldest_python"]):
        return 3
    pip = _environment()
    if pip is None:
        return 4
    command = [*pip, "install", "--no-cache-dir", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "--root-user-action", "ignore"]
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
    if job["index_url"]:
        environment["PIP_INDEX_URL"] = job["index_url"]
    done = subprocess.run([*command, *job["requirements"]], env=environment, check=False)
    return 5 if done.returncode else 0


def _environment() -> list[str] | None:
    """Make the virtual environment and return the pip command that installs into it."""
    venv = [sys.executable, "-m", "venv", "--system-site-packages"]
    pip = [f"{HOME}/bin/python", "-m", "pip"]
    if subprocess.run([*venv, HOME], check=False).returncode:
        # Debian's Python has no ensurepip, but the image's pip can install into the environment
        pip = [sys.executable, "-m", "pip", "--python", f"{HOME}/bin/python"]
        for command in ([*pip[:3], "--version"], [*venv, "--clear", "--without-pip", HOME]):
            if subprocess.run(command, check=False).returncode:
                return None
    if sys.prefix != sys.base_prefix:
        # The image's Python is itself in a virtual environment: ours has to see its packages too
        import site

        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        folder = f"{HOME}/lib/{version}/site-packages"
        with open(f"{folder}/outer.pth", "w", encoding="utf-8") as file:  # noqa: PTH123 - same
            file.write("\n".join(site.getsitepackages()) + "\n")
    return pip


if __name__ == "__main__":
    sys.exit(main())
