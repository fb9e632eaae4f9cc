"""Every way to an engine: its unix socket, tcp, TLS, ssh; the last three by stand-ins here."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import ssl
import stat
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from notebook_kernel import until
from stop_accepting import stop_accepting

from rlm.cli.checks import docker as doctor_asks
from rlm.core.environments import new_sandbox
from rlm_kernel.context.value import context_value
from rlm_kernel.docker.container_config import LABEL
from rlm_kernel.docker.engine import engine, engine_address
from rlm_kernel.errors import SandboxError
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.session import open_session
from rlm_kernel.host.subcalls import Call, CallAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from rlm.cli.checks import Finding


@pytest.fixture
def real_socket(docker: dict[str, Any]) -> str:
    """The engine's own socket."""
    return urlsplit(engine_address().url).path


@asynccontextmanager
async def passing_on(
    to: str,
    context: ssl.SSLContext | None = None,
    before: Callable[[bytes], Awaitable[None]] | None = None,
) -> AsyncIterator[int]:
    """Pass connections on to a unix socket; yields the port. It ends with the test.

    Args:
        to: The socket.
        context: Speaks TLS with the client.
        before: Awaited before a client's bytes are passed on.
    """
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def copy(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        before: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> None:
        try:
            while data := await reader.read(1 << 16):
                if before is not None:
                    await before(data)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
            else:
                writer.close()
        except OSError:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_unix_connection(to)
        writers.append(other_writer)
        try:
            await asyncio.gather(copy(reader, other_writer, before), copy(other_reader, writer))
        finally:
            writer.close()
            other_writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await stop_accepting(server)
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


async def use(docker: dict[str, Any]) -> None:
    """Start a container, send it a context, run cells that call back, and end it."""

    async def echo(call: Call) -> CallAnswer:
        return CallAnswer(value=f"echo {call.prompt}")

    sandbox = new_sandbox("docker", docker)
    try:
        await sandbox.start()
        placed = await sandbox.place(context_value("é" * 1_000_000))
        session = await open_session(sandbox, KernelOptions(), echo)
        await session.attach("context_0", placed)
        result = await session.execute("print(len(context), llm_query('x'), 'y' * 500_000)")
        assert result.outputs[0]["text"] == f"1000000 echo x {'y' * 500_000}\n"
        await session.close()
    finally:
        await sandbox.close()
        if engine_address().url.startswith("ssh:"):  # the SDK's client keeps connections
            await asyncio.to_thread(engine(engine_address()).close)


async def test_over_tcp(
    docker: dict[str, Any], real_socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with passing_on(real_socket) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        await use(docker)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as DOCKER_CERT_PATH names it, and the server's own certificate and key."""
    folder = tmp_path_factory.mktemp("certificates")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    new += ["-nodes", "-days", "2"]
    ca = ["-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=test CA"]
    run = functools.partial(subprocess.run, cwd=folder, check=True, capture_output=True)
    run([*new, *ca, "-addext", "basicConstraints=critical,CA:TRUE"])
    for name, about in (
        ("server", "subjectAltName=IP:127.0.0.1"),
        ("", "extendedKeyUsage=clientAuth"),
    ):
        prefix = f"{name}-" if name else ""
        one = ["-keyout", f"{prefix}key.pem", "-out", f"{prefix}cert.pem", "-subj", "/CN=test"]
        signed = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-addext", about]
        run([*new, *one, *signed])
    return folder


def tls(certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates / "server-cert.pem", certificates / "server-key.pem")
    return context


async def test_over_tls_with_certificates_on_both_sides(
    docker: dict[str, Any],
    real_socket: str,
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    async with passing_on(real_socket, tls(certificates)) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
        await use(docker)


async def test_an_engine_with_another_s_certificate_is_refused(
    docker: dict[str, Any],
    real_socket: str,
    certificates: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_bytes((certificates / name).read_bytes())
    (tmp_path / "ca.pem").write_bytes((certificates / "cert.pem").read_bytes())
    async with passing_on(real_socket, tls(certificates)) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        sandbox = new_sandbox("docker", docker)
        with pytest.raises(SandboxError, match="certificate verify failed"):
            await sandbox.start()
        await sandbox.close()


@pytest.mark.parametrize("at", [b"/containers/create", b"/start"], ids=["create", "start"])
async def test_a_container_whose_start_is_cancelled_is_removed(
    docker: dict[str, Any], real_socket: str, monkeypatch: pytest.MonkeyPatch, at: bytes
) -> None:
    ours = {"label": f"{LABEL}.pid={os.getpid()}"}
    containers = engine(engine_address()).containers
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def hold(data: bytes) -> None:
        if at in data:
            asked.set()
            await cancelled.wait()

    async with passing_on(real_socket, before=hold) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        sandbox = new_sandbox("docker", docker)
        starting = asyncio.create_task(sandbox.start())
        await asked.wait()
        starting.cancel()
        await asyncio.sleep(0)
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await sandbox.close()
        await asyncio.get_running_loop().shutdown_default_executor()  # what is under way there
        await until(lambda: not containers(all=True, filters=ours))  # the engine may be removing it


@pytest.mark.parametrize(
    ("asks", "at"),
    [
        ({"image": "127.0.0.1:1/no-such-image"}, b"/images/create"),
        ({"packages": ["no-such-thing"]}, b"/containers/create"),
        ({"packages": ["no-such-thing"]}, b"/logs"),
    ],
    ids=["pulled", "about to be made", "being made"],
)
async def test_a_start_that_is_cancelled_before_there_is_an_image_ends_at_once(
    docker: dict[str, Any],
    real_socket: str,
    monkeypatch: pytest.MonkeyPatch,
    asks: dict[str, Any],
    at: bytes,
) -> None:
    ours = {"label": f"{LABEL}.pid={os.getpid()}"}
    containers = engine(engine_address()).containers
    asked, released = asyncio.Event(), asyncio.Event()

    async def hold(data: bytes) -> None:
        if at in data:
            asked.set()
            await released.wait()

    async with passing_on(real_socket, before=hold) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        sandbox = new_sandbox("docker", {**docker, "build_network": "none", **asks})
        starting = asyncio.create_task(sandbox.start())
        await asked.wait()
        starting.cancel()
        await asyncio.wait([starting], timeout=5)  # the engine is still at it
        ended = starting.done()
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert ended
        await sandbox.close()
        cleaning = [thread for thread in threading.enumerate() if thread.name == "rlm clean-up"]
        await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in cleaning))
        await asyncio.get_running_loop().shutdown_default_executor()  # what is under way there
        await until(lambda: not containers(all=True, filters=ours))  # the engine may be removing it
        engine(engine_address()).close()


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_socket: str) -> Path:
    """A stand-in for ssh: it writes down how it was called and runs the command here."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ssh"
    calls = tmp_path / "calls"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        f"open({str(calls)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "os.environ.pop('DOCKER_HOST', None)\n"
        "command = sys.argv[sys.argv.index('docker'):]\n"
        "os.execvp(command[0], command)\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "ssh://someone@far.example:2222")
    return calls


async def test_over_ssh(docker: dict[str, Any], ssh: Path) -> None:
    await use(docker)
    calls = ssh.read_text().splitlines()
    assert calls
    for call in calls:
        assert "-l someone -p 2222" in call
        assert call.endswith("docker system dial-stdio")


async def doctor() -> Finding:
    """Return what `rlm doctor` finds at the engine of DOCKER_HOST."""
    (found,) = await asyncio.to_thread(lambda: list(doctor_asks()))
    return found


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DOCKER_TLS_VERIFY": "1"}, ", over TLS"),
        ({"DOCKER_TLS": "1"}, ", over TLS, its certificate unchecked"),
    ],
    ids=["checked", "unchecked"],
)
async def test_the_doctor_asks_an_engine_over_tls(
    real_socket: str,
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    said: str,
) -> None:
    async with passing_on(real_socket, tls(certificates)) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        found = await doctor()
        assert found.state == "ok", found
        assert found.text.endswith(f" at tcp://127.0.0.1:{port}{said}")


async def test_the_doctor_says_where_it_looked_for_certificates(
    real_socket: str, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with passing_on(real_socket, tls(certificates)) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        missing = await doctor()
        assert missing.state == "note"
        assert "DOCKER_CERT_PATH" in missing.text
        assert str(tmp_path / "ca.pem") in missing.text
        (tmp_path / "ca.pem").write_bytes((certificates / "cert.pem").read_bytes())
        wrong = await doctor()
        assert wrong.state == "note"
        assert "certificate verify failed" in wrong.text
        assert "DOCKER_CERT_PATH" in wrong.advice


async def test_unreadable_certificates_are_not_mistaken_for_a_closed_socket(
    docker: dict[str, Any],
    real_socket: str,
    certificates: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = str(certificates / "key.pem")

    def refused(self: ssl.SSLContext, *files: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), key)

    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
    # What the system says to a user who is not root, which whoever tests in a container is
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", refused)
    found = await doctor()
    assert "Permission denied" in found.text
    assert found.advice == "May this user read ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH?"
    sandbox = new_sandbox("docker", docker)
    with pytest.raises(SandboxError, match=r"Permission denied.*DOCKER_CERT_PATH") as raised:
        await sandbox.start()
    await sandbox.close()
    assert "group" not in f"{found} {raised.value}"


async def test_the_doctor_asks_an_engine_over_ssh(ssh: Path) -> None:
    found = await doctor()
    assert found.state == "ok", found
    assert found.text.startswith("engine ")
    assert found.text.endswith(" at ssh://someone@far.example:2222")
    assert len(ssh.read_text().splitlines()) == 1


async def test_the_doctor_says_so_when_ssh_leads_nowhere(
    ssh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = ssh.parent / "bin" / "ssh"
    program.write_text("#!/bin/sh\nexit 255\n")
    found = await doctor()
    assert found.state == "note"
    assert "no engine answers at ssh://someone@far.example:2222" in found.text
    assert "over ssh" in found.advice


async def test_an_address_of_an_unknown_kind_is_refused(
    docker: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "carrier-pigeon://loft")
    sandbox = new_sandbox("docker", docker)
    with pytest.raises(SandboxError, match=r"'carrier-pigeon://loft'; known are unix://"):
        await sandbox.start()
    await sandbox.close()
    assert "known are unix://" in (await doctor()).text
