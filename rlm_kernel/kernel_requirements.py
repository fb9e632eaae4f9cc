"""What a kernel needs besides Python: pinned, so that an image made today is made so tomorrow."""

from __future__ import annotations

import sys

OLDEST_PYTHON = (3, 10)

IPYKERNEL = ((7, 4), (8,))
"""The versions of ipykernel that will do: from the first, below the second."""

PINS = (
    "ipykernel==7.4.0",
    "ipython==9.18.1; python_version >= '3.11'",
    "ipython>=8.30,<9; python_version < '3.11'",
    "jupyter-client==8.10.0",
    "jupyter-core==5.9.1",
    "pyzmq==27.3.0",
    "tornado==6.6.1",
    "traitlets==5.16.1",
    "comm==0.2.3",
    "matplotlib-inline==0.2.2",
)
"""What pip installs into an image that has no fitting ipykernel."""


def pins_for(version: tuple[int, ...]) -> list[str]:
    """Return the pins without their markers, for one version of Python."""
    old = version < (3, 11)
    return [
        requirement
        for requirement, _, marker in (pin.partition("; ") for pin in PINS)
        if not marker or ("<" in marker) == old
    ]


if __name__ == "__main__":  # for `pip download`, which asks this Python about markers
    print(*pins_for(tuple(map(int, sys.argv[1].split(".")))))  # noqa: T201 - its whole purpose
