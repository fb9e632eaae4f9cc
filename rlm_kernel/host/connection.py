"""Connection info of kernels behind unix sockets (Jupyter's connection files)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from rlm_kernel.protocol.chunks import Channel

if TYPE_CHECKING:
    from pathlib import Path

PORTS = {f"{channel.name.lower()}_port": int(channel) for channel in Channel}
"""Jupyter's five channels; over unix sockets a port is a number at the end of the path."""


def new_connection(directory: Path) -> dict[str, Any]:
    """Return connection info for a new kernel whose sockets lie in `directory`."""
    return {
        "transport": "ipc",
        "ip": str(directory / "s"),
        "key": secrets.token_hex(32),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "rlm",
        **PORTS,
    }
