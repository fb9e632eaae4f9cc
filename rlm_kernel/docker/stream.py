"""A container's stdin and stdout as a byte stream, over any connection to the engine.

One code path for unix sockets, tcp, TLS and ssh: a plain `POST .../attach` with `Connection:
Upgrade` (Docker Engine API, "Attach to a container"). After the answer 101 the connection carries
the container's stdin in one direction. In the other it carries frames: an 8-byte header (`>BxxxL`:
1 stdout or 2 stderr, length) and the bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ssl
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rlm_kernel.docker.ssh import ssh_command
from rlm_kernel.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_HEADER = struct.Struct(">BxxxL")
_STDOUT, _STDERR = 1, 2
_LIMIT = 1 << 20
_MAX_HEAD = 1 << 16
_STDERR_KEPT = 4000
_CLOSE_SECONDS = 2.0
_UPGRADE = "Host: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAddress:
    """The address of a Docker engine.

    Attributes:
        url: As in `DOCKER_HOST`.
        tls: Whether the engine speaks TLS.
        verify: Whether to check its certificate.
        certificates: The folder of `ca.pem`, `cert.pem` and `key.pem`.
    """

    url: str
    tls: bool = False
    verify: bool = True
    certificates: str | None = None


class DockerStream:
    """The stream to a container's fork server (see `rlm_kernel.relay.machine.ByteStream`)."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        end: Callable[[], Awaitable[None]],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._end = end
        self._buffer = bytearray()
        self._kind = _STDOUT
        self._left = 0
        self._stderr = bytearray()
        self._closed = False

    @property
    def stderr(self) -> str:
        """The end of what the container wrote to stderr."""
        return self._stderr.decode("utf-8", "replace").strip()

    async def read(self) -> bytes:
        """Return the next bytes of stdout; empty at the end."""
        while True:
            data = await self._reader.read(_LIMIT)
            if not data:
                return b""
            found = self._demultiplex(data)
            if found:
                return found

    async def write(self, data: bytes) -> None:
        """Write to stdin."""
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """Close the connection: the engine closes the container's stdin."""
        if not self._closed:
            self._closed = True
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(self._writer.wait_closed(), _CLOSE_SECONDS)
            await self._end()

    def _demultiplex(self, data: bytes) -> bytes:
        """Return the container's stdout in the connection's next bytes."""
        self._buffer += data
        found: list[bytes] = []
        at = 0
        while at < len(self._buffer):
            if not self._left:
                if len(self._buffer) - at < _HEADER.size:
                    break
                self._kind, self._left = _HEADER.unpack_from(self._buffer, at)
                at += _HEADER.size
                continue
            taken = bytes(self._buffer[at : at + self._left])
            at += len(taken)
            self._left -= len(taken)
            if self._kind == _STDOUT:
                found.append(taken)
            elif self._kind == _STDERR:
                self._stderr += taken
                del self._stderr[:-_STDERR_KEPT]
        del self._buffer[:at]
        return b"".join(found)


async def attach(address: EngineAddress, container: str) -> DockerStream:
    """Attach to a container's stdin, stdout and stderr, before it starts.

    Raises:
        SandboxError: The engine refused.
        OSError: The engine cannot be reached.
    """
    reader, writer, end = await _connect(address)
    try:
        target = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        writer.write(f"POST {target} HTTP/1.1\r\n{_UPGRADE}\r\n".encode())
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        status = head.split(None, 2)[1:2]
        refusal = b"" if status in ([b"101"], [b"200"]) else await reader.read(_MAX_HEAD)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        writer.close()
        await end()
        raise ConnectionError("the Docker engine closed the connection") from error
    except BaseException:
        writer.close()
        await end()
        raise
    stream = DockerStream(reader, writer, end)
    if refusal:
        await stream.close()
        raise _refused(head + refusal)
    return stream


async def _connect(
    address: EngineAddress,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Callable[[], Awaitable[None]]]:
    parts = urlsplit(address.url)
    if parts.scheme in ("unix", "http+unix"):
        return *(await asyncio.open_unix_connection(parts.path, limit=_LIMIT)), _nothing
    if parts.scheme in ("tcp", "http", "https"):
        context = tls_context(address) if uses_tls(address) else None
        opened = await asyncio.open_connection(
            parts.hostname,
            port_of(address),
            ssl=context,
            server_hostname=(parts.hostname or "") if context else None,
            limit=_LIMIT,
        )
        return *opened, _nothing
    if parts.scheme == "ssh":
        return await _over_ssh(address.url)
    raise unknown_address(address)


def unknown_address(address: EngineAddress) -> SandboxError:
    """Return the error for an address of an unknown kind."""
    return SandboxError(
        f"DOCKER_HOST is {address.url!r}; known are unix://, tcp://, https:// and ssh:// addresses."
    )


async def _over_ssh(
    url: str,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Callable[[], Awaitable[None]]]:
    process = await asyncio.create_subprocess_exec(
        *ssh_command(url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LIMIT,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    async def end() -> None:
        try:
            await asyncio.wait_for(process.wait(), _CLOSE_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    return process.stdout, process.stdin, end


def _refused(answer: bytes) -> SandboxError:
    text = " ".join(answer.decode("utf-8", "replace").split())
    return SandboxError(f"The Docker engine refused to attach to a container: {text[:500]}")


def uses_tls(address: EngineAddress) -> bool:
    """Return whether an engine behind tcp speaks TLS."""
    return address.tls or urlsplit(address.url).scheme == "https"


def port_of(address: EngineAddress) -> int:
    """Return the port of an engine behind tcp."""
    return urlsplit(address.url).port or (2376 if uses_tls(address) else 2375)


def tls_context(address: EngineAddress) -> ssl.SSLContext:
    """Return the TLS settings for an engine: its CA, and our certificate.

    Raises:
        OSError: The certificates cannot be read.
    """
    folder = Path(address.certificates or "~/.docker").expanduser()
    ca = folder / "ca.pem"
    if address.verify and not ca.exists():
        what = "no certificate authority to check the engine with (DOCKER_CERT_PATH)"
        raise FileNotFoundError(errno.ENOENT, what, str(ca))
    context = ssl.create_default_context(cafile=ca if address.verify else None)
    if (folder / "cert.pem").exists():
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    if not address.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _nothing() -> None:
    return
