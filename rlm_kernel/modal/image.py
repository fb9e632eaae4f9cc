"""The image of a Modal sandbox: the requested one with a kernel's packages installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rlm_kernel.kernel_requirements import PINS

if TYPE_CHECKING:
    from rlm_kernel.modal.options import ModalOptions

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""The versions that Modal has images for and that a kernel runs on."""

_OTHERWISE = "3.12"


def python_version() -> str:
    """Return this Python's version, so that pickles load, or a common one when Modal lacks it."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return own if own in PYTHONS else _OTHERWISE


def kernel_image(modal: Any, options: ModalOptions) -> Any:
    """Return the `modal.Image` to use, which Modal makes at its first use and keeps."""
    if options.image is None:
        image = modal.Image.debian_slim(python_version=python_version())
    elif isinstance(options.image, str):
        image = modal.Image.from_registry(options.image).entrypoint([])
    else:
        image = options.image
    return image.pip_install(*PINS, *options.packages)
