"""Jupyter's connection files, for kernels behind unix sockets."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from rlm_kernel.protocol.chunks import Channel

if TYPE_CHECKING:
    from pathlib import Path

PORTS = {f"{channel.name.lower()}_port": int(channel) for channel in Channel}
"""Jupyter's five channels; over unix sockets a port is a number at the end of the path."""


def new_connection(directory: Path) -> tuple[dict[str, Any], str]:
    """Write the connection file of a new kernel whose sockets and file lie in `directory`.

    Returns:
        The connection info and the file.
    """
    connection: dict[str, Any] = {
        "transport": "ipc",
        "ip": str(directory / "s"),
        "key": secrets.token_hex(32),
        "signature_scheme": "hmac-sha256",
        "kernel_name": "rlm",
        **PORTS,
    }
    file = directory / "connection.json"
    file.touch(mode=0o600)  # it holds the key
    file.write_text(json.dumps(connection))
    return connection, str(file)
