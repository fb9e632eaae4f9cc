"""Reaches an engine behind ssh as the docker command does: by `docker system dial-stdio` there."""

from __future__ import annotations

import http.client
import socket
import subprocess
from typing import Any
from urllib.parse import urlsplit

_END_SECONDS = 2.0


def ssh_command(url: str) -> list[str]:
    """Return the command whose stdin and stdout lead to the engine on another machine."""
    parts = urlsplit(url)
    command = ["ssh", "-T", "-o", "ConnectTimeout=30"]
    if parts.username:
        command += ["-l", parts.username]
    if parts.port:
        command += ["-p", str(parts.port)]
    return [*command, "--", parts.hostname or "", "docker", "system", "dial-stdio"]


class SSHTunnel:
    """An ssh process and the `socket` to the engine at its other end.

    Close the socket first. Without an ssh program this raises `OSError`.
    """

    def __init__(self, url: str, timeout: float | None) -> None:
        self.socket, remote = socket.socketpair()
        try:
            with remote:
                self._process = subprocess.Popen(
                    ssh_command(url),
                    stdin=remote.fileno(),
                    stdout=remote.fileno(),
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except BaseException:
            self.socket.close()
            raise
        self.socket.settimeout(timeout)

    def close(self) -> None:
        """End the process."""
        try:
            self._process.wait(_END_SECONDS)  # its stdin has ended
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class SSHConnection(http.client.HTTPConnection):
    """An HTTP connection to the engine at `url`, through an ssh process."""

    url: str
    _ssh: SSHTunnel | None = None

    def connect(self) -> None:
        """Start the ssh process."""
        timeout = self.timeout if isinstance(self.timeout, int | float) else None
        self._ssh = SSHTunnel(self.url, timeout)
        self.sock = self._ssh.socket

    def close(self) -> None:
        """Close the connection and end the ssh process."""
        super().close()
        tunnel, self._ssh = self._ssh, None
        if tunnel is not None:
            tunnel.close()


def ssh_adapter(address: str) -> Any:
    """Return a `requests` adapter that sends the SDK's requests through ssh.

    The SDK's own adapter needs paramiko, even to run the ssh program.
    """
    import urllib3
    import urllib3.connection
    from requests.adapters import HTTPAdapter

    class Connection(SSHConnection, urllib3.connection.HTTPConnection):
        """urllib3's connection, through ssh."""

        url = address

    class Pool(urllib3.HTTPConnectionPool):
        """Connections to the one engine."""

        def _new_conn(self) -> Connection:
            return Connection("docker", timeout=self.timeout.connect_timeout)

    pool = Pool("docker", maxsize=10)

    class Adapter(HTTPAdapter):
        """Sends every request to the pool."""

        def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
            return pool

        def close(self) -> None:
            """End the ssh processes."""
            pool.close()
            super().close()

    return Adapter()
