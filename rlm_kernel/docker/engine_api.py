"""The few requests that start a container, without the SDK, whose import takes too long.

Measured from `RLM()` to the first answer: the SDK costs 0.2 s of CPU time, even when a thread
imports it meanwhile. The methods have the names and results of the SDK's `APIClient` (Docker Engine
API, in the version that the engine speaks). The SDK does everything else.
"""

from __future__ import annotations

import http.client
import json
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from rlm_kernel.docker.engine import TIMEOUT
from rlm_kernel.docker.ssh import SSHConnection
from rlm_kernel.docker.stream import port_of, tls_context, unknown_address, uses_tls

if TYPE_CHECKING:
    from rlm_kernel.docker.stream import EngineAddress


class EngineRefusalError(Exception):
    """An engine refused a request; `explanation` and `response` are as in the SDK's errors."""

    def __init__(self, status: int, explanation: str) -> None:
        super().__init__(f"{status}: {explanation}")
        self.explanation = explanation
        self.response = SimpleNamespace(status_code=status)


class EngineRequests:
    """Sends an engine requests over one connection, from one thread at a time.

    Raises:
        SandboxError: The address is of an unknown kind.
        OSError: The certificates cannot be read.
    """

    def __init__(self, address: EngineAddress, timeout: float = TIMEOUT) -> None:
        self._connection = _connection(address, timeout)

    def version(self) -> dict[str, Any]:
        """Return what the engine says about itself, such as its `Version`."""
        about: dict[str, Any] = self._ask("GET", "/version")
        return about

    def inspect_image(self, name: str) -> dict[str, Any]:
        """Return what the engine knows about an image."""
        about: dict[str, Any] = self._ask("GET", f"/images/{quote(name, safe='/:@')}/json")
        return about

    def create_container_from_config(self, config: dict[str, Any]) -> dict[str, Any]:
        """Create a container, and return its `Id`."""
        created: dict[str, Any] = self._ask("POST", "/containers/create", config)
        return created

    def start(self, container: str) -> None:
        """Start a container."""
        self._ask("POST", f"/containers/{container}/start")

    def remove_container(self, container: str, *, force: bool, v: bool) -> None:
        """Remove a container, running or not (`force`), with its anonymous volumes (`v`)."""
        self._ask("DELETE", f"/containers/{container}?force={force:d}&v={v:d}")

    def close(self) -> None:
        """Close the connection; a later request opens another."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        headers = {"Host": "docker", "Content-Type": "application/json"} if data else {}
        try:
            self._connection.request(method, path, data, headers)
            reply = self._connection.getresponse()
            text = reply.read()
        except http.client.HTTPException as error:
            self.close()
            raise ConnectionError(f"the engine's answer broke off: {error!r}") from error
        except BaseException:
            self.close()
            raise
        if reply.status >= http.client.BAD_REQUEST:
            raise EngineRefusalError(reply.status, _message(text))
        return json.loads(text) if text else None


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode("utf-8", "replace")[:500]


def _connection(address: EngineAddress, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(address.url)
    if parts.scheme in ("unix", "http+unix"):
        return _UnixConnection(parts.path, timeout)
    if parts.scheme == "ssh":
        connection = SSHConnection("docker", timeout=timeout)
        connection.url = address.url
        return connection
    if parts.scheme not in ("tcp", "http", "https"):
        raise unknown_address(address)
    host, port = parts.hostname or "", port_of(address)
    if uses_tls(address):
        context = tls_context(address)
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
