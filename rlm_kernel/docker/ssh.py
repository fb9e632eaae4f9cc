"""The SDK's way to an engine behind ssh: `docker system dial-stdio` there, as the docker command.

The SDK's own needs paramiko even to run the ssh program.
"""

from __future__ import annotations

from typing import Any

import urllib3
import urllib3.connection
from requests.adapters import HTTPAdapter

from rlm_kernel.docker.dial import SSHTunnel


class _Connection(urllib3.connection.HTTPConnection):
    """A connection whose other end is an ssh process's stdin and stdout."""

    ssh_url = ""
    _dialled: SSHTunnel | None = None

    def connect(self) -> None:
        timeout = self.timeout if isinstance(self.timeout, int | float) else None
        self._dialled = SSHTunnel(self.ssh_url, timeout)
        self.sock = self._dialled.socket

    def close(self) -> None:
        super().close()
        dialled, self._dialled = self._dialled, None
        if dialled is not None:
            dialled.close()


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, url: str) -> None:
        super().__init__("docker", maxsize=10)
        self._ssh_url = url

    def _new_conn(self) -> _Connection:
        connection = _Connection("docker", timeout=self.timeout.connect_timeout)
        connection.ssh_url = self._ssh_url
        return connection


class SSHAdapter(HTTPAdapter):
    """Sends requests through ssh.

    Args:
        url: The engine's, as `DOCKER_HOST` has it.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self._pool = _Pool(url)

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        """Return the one pool there is."""
        return self._pool

    def close(self) -> None:
        """End the ssh processes."""
        self._pool.close()
        super().close()
