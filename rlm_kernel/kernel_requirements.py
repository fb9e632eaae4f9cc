"""What a kernel needs besides Python: pinned, so that an image made later is the same."""

from __future__ import annotations

OLDEST_PYTHON = (3, 11)
"""ipykernel 7.4 requires it."""

IPYKERNEL = ((7, 4), (8,))
"""The supported versions of ipykernel: from the first, below the second."""

PINS = (
    "ipykernel==7.4.0",
    "ipython==9.18.1",
    "jupyter-client==8.10.0",
    "jupyter-core==5.9.1",
    "pyzmq==27.3.0",
    "tornado==6.6.1",
    "traitlets==5.16.1",
    "comm==0.2.3",
    "matplotlib-inline==0.2.2",
)
"""What pip installs into an image that has no supported ipykernel."""
