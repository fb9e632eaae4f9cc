"""A Modal sandbox: what Modal is asked for, what it may reach, and that it never outlives us."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from grpclib import Status
from modal_proto import api_pb2

from rlm.core.environments import new_sandbox
from rlm_kernel.context.value import context_value
from rlm_kernel.errors import ContextError, SandboxError
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.session import open_session
from rlm_kernel.host.subcalls import CallAnswer
from rlm_kernel.kernel_requirements import PINS
from rlm_kernel.modal.account import explained

if TYPE_CHECKING:
    from modal_standin import ModalStandIn

ACCESS = api_pb2.NetworkAccess.NetworkAccessType


async def nothing(call: Any) -> CallAnswer:
    return CallAnswer(value="")


async def in_sandbox(code: str, **kwargs: Any) -> str:
    """Run a cell that must succeed in a sandbox of its own; return what it wrote."""
    sandbox = new_sandbox("modal", kwargs)
    try:
        session = await open_session(sandbox, KernelOptions(), nothing)
        result = await session.execute(code, timeout=60)
        assert result.status == "ok", result
        await session.close()
    finally:
        await sandbox.close()
    return "".join(output["text"] for output in result.outputs if output.get("name") == "stdout")


# What is asked for


async def test_by_default_there_is_no_network_and_the_image_has_a_kernel(
    modal: ModalStandIn,
) -> None:
    await in_sandbox("1")
    (sandbox,) = modal.sandboxes
    asked = sandbox.definition
    assert asked.network_access.network_access_type == ACCESS.BLOCKED
    assert asked.timeout_secs == 3600
    assert not asked.secret_ids
    assert not asked.volume_mounts
    assert sandbox.tags == {"rlm-kernel": "sandbox", "rlm-kernel-pid": str(os.getpid())}
    assert modal.world.apps == ["rlm-kernel"]
    base, kernel = modal.world.images
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert base[0].startswith(f"FROM python:{version}")
    for pin in PINS:
        assert pin.partition(";")[0].strip() in " ".join(kernel)


async def test_everything_asked_for_reaches_modal(modal: ModalStandIn) -> None:
    modal.world.secrets["db"] = {"DB_URL": "postgres://x"}
    seen = await in_sandbox(
        "import os; print(os.getcwd(), os.environ['DB_URL'], os.environ['INLINE'])",
        app_name="my-app",
        timeout=600,
        idle_timeout=120,
        image="python:3.11-slim",
        packages=["polars>=1"],
        cpu=(0.5, 2),
        memory="2g",
        region=["eu", "us-east"],
        outbound_domain_allowlist=["example.org", "*.example.com"],
        volumes={"/data": "corpus"},
        secrets=["db", {"INLINE": "given"}],
        name="the-one",
        tags={"team": "search"},
        workdir="/tmp/here",
    )
    assert seen == "/tmp/here postgres://x given\n"
    (sandbox,) = modal.sandboxes
    asked = sandbox.definition
    assert modal.world.apps == ["my-app"]
    assert (asked.timeout_secs, asked.idle_timeout_secs, asked.name) == (600, 120, "the-one")
    assert (asked.resources.milli_cpu, asked.resources.milli_cpu_max) == (500, 2000)
    assert asked.resources.memory_mb == 2048
    assert list(asked.scheduler_placement.regions) == ["eu", "us-east"]
    assert asked.network_access.network_access_type == ACCESS.ALLOWLIST
    assert list(asked.network_access.allowed_domains) == ["example.org", "*.example.com"]
    assert [(m.mount_path, m.volume_id) for m in asked.volume_mounts] == [("/data", "vo-corpus")]
    assert sandbox.tags["team"] == "search"
    commands = " ".join(" ".join(image) for image in modal.world.images)
    assert "FROM python:3.11-slim" in commands
    assert "polars>=1" in commands


async def test_a_sandbox_can_have_a_gpu(modal: ModalStandIn) -> None:
    assert await in_sandbox("print(1)", gpu="T4") == "1\n"
    (sandbox,) = modal.sandboxes
    assert sandbox.definition.resources.gpu_config.gpu_type == "T4"
    assert modal.live == []


async def test_the_bootstrap_fits_a_command_line(modal: ModalStandIn) -> None:
    from rlm_kernel.modal.program import entry_point, kernel_program

    for program in (entry_point(), kernel_program("/tmp/rlm", silence=75, workdir="/w")):
        assert sum(map(len, program)) < 1 << 13  # Modal takes 64 KiB


# Contexts


@pytest.mark.parametrize(
    ("value", "uploaded"),
    [("small", False), ({"a": 1}, False), ("x" * 3_000_000, True), ([{"k": "v" * 2**20}], True)],
    ids=["text", "json", "long text", "long json"],
)
async def test_big_contexts_take_modal_s_file_transfer(
    modal: ModalStandIn, value: Any, uploaded: bool
) -> None:
    sandbox = new_sandbox("modal", {})
    try:
        session = await open_session(sandbox, KernelOptions(), nothing)
        placed = await sandbox.place(context_value(value))
        await session.attach("context_0", placed)
        result = await session.execute("print(type(context).__name__, len(context))")
        assert result.outputs[0]["text"] == f"{type(value).__name__} {len(value)}\n"
        await session.close()
    finally:
        await sandbox.close()
    assert ("TaskExecStdinWriteStream" in modal.world.calls) == uploaded
    assert list(Path(tempfile.gettempdir()).glob("rlm-context-*")) == []


async def test_a_context_that_does_not_fit_is_an_error_that_says_what_to_do(
    modal: ModalStandIn,
) -> None:
    sandbox = new_sandbox("modal", {})
    try:
        session = await open_session(sandbox, KernelOptions(), nothing)
        await session.execute("import os; os.system('mount -o remount,size=1m /tmp')")
        with pytest.raises(ContextError, match=r"No space left.*memory"):
            await sandbox.place(context_value("x" * 3_000_000))
        await session.close()
    finally:
        await sandbox.close()


# What it may reach


async def test_no_network_can_be_reached(modal: ModalStandIn) -> None:
    assert await in_sandbox(
        "import socket\nprint([name for _, name in socket.if_nameindex()])\n"
        "for address in (('1.1.1.1', 53), ('169.254.169.254', 80)):\n"
        "    try: socket.create_connection(address, timeout=2)\n"
        "    except OSError as error: print(error.strerror)\n"
        f"try: socket.create_connection(('127.0.0.1', {modal.world.url.rpartition(':')[2]}), 2)\n"
        "except OSError as error: print('and not to us')\n"
        "try: socket.getaddrinfo('example.com', 80)\n"
        "except OSError: print('no names')"
    ) == ("['lo']\n" + "Network is unreachable\n" * 2 + "and not to us\nno names\n")


FORGE = """
import json, os, time
from rlm_kernel.protocol import frames
from rlm_kernel.protocol.chunks import Channel, split
server = os.getppid()
pump = open(f"/proc/{{server}}/task/{{server}}/children").read().split()[0]
def writable(fd):
    flags = open(f"/proc/{{pump}}/fdinfo/{{fd}}").read().split("flags:")[1].split()[0]
    return os.readlink(f"/proc/{{pump}}/fd/{{fd}}").startswith("pipe:") and int(flags, 8) & 1
(stream,) = filter(writable, os.listdir(f"/proc/{{pump}}/fd"))
header = get_ipython().kernel.session.msg("rlm_call")["header"]
call = {{"floor": 0, "calls": [{{"id": 901, "kind": "llm", "prompt": "forged"}}]}}
dumped = [json.dumps(part, default=str).encode() for part in (header, {{}}, {{}}, call)]
parts = [b"<IDS|MSG>", b"0" * 64, *dumped]
with open(f"/proc/{{pump}}/fd/{{stream}}", "wb") as file:
    file.write({frame})
print(llm_query("real"))
"""

FRAMES = {
    "a message that nobody signed": ("b''.join(split(1, Channel.CONTROL, parts))", 1),
    "a message of an unknown kernel": (
        "b''.join(split(77, Channel.SHELL, parts))",
        1,
    ),
    "the end of an unknown kernel": ("frames.encode_control({'op': 'died', 'kernel': 77})", 1),
    "an oversized length": ("b'\\xff' * 4 + bytes(5)", 2),
}


@pytest.mark.parametrize(("frame", "sandboxes"), FRAMES.values(), ids=FRAMES.keys())
async def test_bytes_that_a_cell_writes_into_the_stream_are_dropped_or_end_the_sandbox(
    modal: ModalStandIn, frame: str, sandboxes: int
) -> None:
    """As root, which cells are on Modal; in a container the stream cannot be opened."""
    prompts: list[Any] = []

    async def note(call: Any) -> CallAnswer:
        prompts.append(call.prompt)
        return CallAnswer(value="answered")

    sandbox = new_sandbox("modal", {})
    try:
        session = await open_session(sandbox, KernelOptions(), note)
        await session.attach("context_0", await sandbox.place(context_value("the text")))
        result = await session.execute(FORGE.format(frame=frame), timeout=60)
        if sandboxes == 1:
            assert result.outputs[0]["text"] == "answered\n", result
            assert prompts == ["real"]
        else:
            assert (result.status, result.restarted) == ("died", True), result
            await session.restart()
        after = await session.execute("print(context)")
        assert after.outputs[0]["text"] == "the text\n"
        await session.close()
    finally:
        await sandbox.close()
    assert len(modal.sandboxes) == sandboxes


# It never outlives us


async def test_a_sandbox_whose_program_cannot_start_is_terminated(modal: ModalStandIn) -> None:
    modal.world.faults.refuse_exec = (Status.INVALID_ARGUMENT, "no such command")
    with pytest.raises(SandboxError, match="Modal refused: no such command"):
        await in_sandbox("1")
    assert len(modal.sandboxes) == 1
    assert modal.live == []


async def test_the_output_of_a_program_that_ends_early_is_in_the_error(
    modal: ModalStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_kernel.modal.program.BOOTSTRAP", "raise SystemExit('not today')")
    with pytest.raises(SandboxError, match="The sandbox said: not today"):
        await in_sandbox("1")
    assert modal.live == []


@pytest.mark.parametrize("after", [0.0, 0.15, 0.4])
async def test_a_start_that_is_cancelled_leaves_no_sandbox(
    modal: ModalStandIn, after: float
) -> None:
    modal.world.faults.slow_create = 0.3
    sandbox = new_sandbox("modal", {})
    starting = asyncio.create_task(sandbox.start())
    assert await asyncio.to_thread(modal.world.created.wait, 20)
    await asyncio.sleep(after)
    starting.cancel()
    await asyncio.wait([starting])
    await sandbox.close()
    assert len(modal.sandboxes) == 1
    assert modal.live == []


HOST = """
import asyncio, sys
from rlm_kernel.modal import sandbox as modal_sandbox
from rlm_kernel.relay import multiplexer
from rlm_kernel.host.subcalls import CallAnswer
from rlm_kernel.modal.options import modal_options
from rlm_kernel.host.kernel_options import KernelOptions
from rlm_kernel.host.session import open_session

multiplexer.PING_SECONDS, modal_sandbox.SILENCE_SECONDS = 0.2, float(sys.argv[2])

async def answer(call):
    return CallAnswer(value="")

async def main():
    sandbox = modal_sandbox.modal_sandbox(modal_options({"reconnect_timeout": 0}))
    session = await open_session(sandbox, KernelOptions(), answer)
    started = asyncio.Event()
    code = "import os; os.system('setsid sleep 600 &'); print(1, flush=True)\\nwhile True: pass"
    cell = session.execute(code, on_output=lambda _: started.set())
    task = asyncio.create_task(cell)
    await started.wait()
    print("ready", flush=True)
    if sys.argv[1] == "exits":
        sys.exit(3)
    await task

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["is killed", "exits"])
def test_nothing_is_left_of_a_host_that_ends_without_closing(modal: ModalStandIn, how: str) -> None:
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, how, {"is killed": "3", "exits": "60"}[how]],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with host:
        assert host.stdout is not None
        assert host.stdout.readline() == "ready\n"
        (sandbox,) = modal.live
        assert any("sleep 600" in command for command in sandbox.machine.running())
        if how == "is killed":
            os.kill(host.pid, signal.SIGKILL)
        host.wait(timeout=30)
    deadline = time.monotonic() + 20
    while modal.live and time.monotonic() < deadline:
        time.sleep(0.02)
    for folder in Path(tempfile.gettempdir()).glob("rlm-*"):
        shutil.rmtree(folder)  # as the next host would
    assert modal.live == []
    terminated = "SandboxTerminate" in modal.world.calls
    assert terminated == (how == "exits")


# Errors


async def test_a_token_that_modal_refuses_is_reported(
    modal: ModalStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-wrong")
    with pytest.raises(SandboxError, match=re.escape("does not accept the token")) as caught:
        await in_sandbox("1")
    assert "modal setup" in str(caught.value)
    assert "as-wrong" not in str(caught.value)


async def test_an_image_that_cannot_be_built_is_reported_with_modals_error(
    modal: ModalStandIn,
) -> None:
    modal.world.faults.fail_image = "pip: no matching distribution found for no-such-thing"
    with pytest.raises(SandboxError, match=r"could not build .*no-such-thing.*'packages'"):
        await in_sandbox("1", packages=["no-such-thing"])
    assert modal.sandboxes == []


async def test_an_image_with_local_files_must_copy_them(
    modal: ModalStandIn,
) -> None:
    import modal as sdk

    image = sdk.Image.debian_slim().add_local_file(__file__, "/x")
    with pytest.raises(SandboxError, match=r"Modal refused: .*local files.*copy=True"):
        await in_sandbox("1", image=image)
    copied = sdk.Image.debian_slim().add_local_file(__file__, "/x", copy=True)
    await in_sandbox("1", image=copied)
    assert "COPY" in str(modal.world.images)


def test_an_unreachable_modal_is_reported(modal: ModalStandIn) -> None:
    """By what the SDK raises after a minute of trying."""
    import modal.exception as errors

    for kind in (errors.ConnectionError, errors.ServiceError, OSError, TimeoutError):
        said = str(explained(kind("nobody  there")))
        assert said.startswith("Modal cannot be reached (nobody there)")
        assert "status.modal.com" in said


async def test_no_token_is_an_error_at_once(
    modal: ModalStandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MODAL_TOKEN_ID")
    monkeypatch.setenv("MODAL_CONFIG_PATH", str(tmp_path / "none"))
    with pytest.raises(SandboxError, match=r"modal setup.*MODAL_TOKEN_ID.*MODAL_TOKEN_SECRET"):
        await in_sandbox("1")
    monkeypatch.setenv("MODAL_TOKEN_ID", "ak-standin")
    assert modal.world.calls == []


async def test_a_refusal_is_passed_on_with_what_to_do(modal: ModalStandIn) -> None:
    modal.world.faults.refuse_create = (Status.ALREADY_EXISTS, "the name 'a' is taken")
    with pytest.raises(SandboxError, match=r"the name 'a' is taken.*environment_kwargs"):
        await in_sandbox("1", name="a")
    assert modal.sandboxes == []
