"""The RPCs that the SDK needs to make a sandbox, to run a program in it, and to end it."""

# ruff: noqa: N802 - the methods are the RPCs, by Modal's own names

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpclib import GRPCError, Status
from modal_proto import api_pb2
from modal_proto import task_command_router_pb2 as router_pb2
from modal_proto.api_grpc import ModalClientBase
from modal_proto.task_command_router_grpc import TaskCommandRouterBase

from modal_standin.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterable

TOKEN = ("ak-standin", "as-standin")

_TERMINATED = api_pb2.GenericResult.GENERIC_STATUS_TERMINATED
_SUCCESS = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
TIMED_OUT = api_pb2.GenericResult.GENERIC_STATUS_TIMEOUT
_FAILURE = api_pb2.GenericResult.GENERIC_STATUS_FAILURE


@dataclass(kw_only=True)
class Faults:
    """What is to go wrong next.

    Attributes:
        cut_stdout: Bytes of stdout after which the connection breaks; None: it does not.
        lose_replies: How many writes to stdin are done but answered with an error.
        swallow_replies: How many are done and never answered.
        refuse_create: The error that the next sandbox is refused with.
        fail_image: What is said of the next image, which cannot be made.
        slow_create: Seconds that the next sandbox takes, once it is made.
    """

    cut_stdout: int | None = None
    cuts: int = 0
    lose_replies: int = 0
    swallow_replies: int = 0
    refuse_create: tuple[Status, str] | None = None
    fail_image: str | None = None
    refuse_exec: tuple[Status, str] | None = None
    slow_create: float = 0.0


@dataclass(kw_only=True)
class Sandbox:
    """One sandbox, as the control plane knows it."""

    id: str
    task: str
    definition: api_pb2.Sandbox
    tags: dict[str, str]
    machine: Machine
    status: Any = None
    timer: asyncio.TimerHandle | None = None


@dataclass(kw_only=True)
class World:
    """What there is, shared by both services.

    Attributes:
        url: Where both are.
        lifetime: Seconds for which a router's token is good.
        refused: Tokens that are good no more.
        created: Set when a sandbox has been made, before anybody is told.
    """

    url: str = ""
    lifetime: float = 3600.0
    faults: Faults = field(default_factory=Faults)
    sandboxes: list[Sandbox] = field(default_factory=list)
    apps: list[str] = field(default_factory=list)
    images: list[list[str]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    created: threading.Event = field(default_factory=threading.Event)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def token(self, kind: str) -> str:
        """Return a new token in the form of a JWT."""
        claims = {"exp": time.time() + self.lifetime, "n": next(self.numbers), "for": kind}
        parts = [json.dumps({"alg": "none"}), json.dumps(claims), "x"]
        token = ".".join(
            base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts
        )
        self.tokens.append(token)
        return token

    def sandbox(self, sandbox_id: str) -> Sandbox:
        for one in self.sandboxes:
            if one.id == sandbox_id:
                return one
        raise GRPCError(Status.NOT_FOUND, f"no sandbox {sandbox_id}")

    def live(self, task: str) -> Machine:
        for one in self.sandboxes:
            if one.task == task:
                if one.machine.ended.is_set():
                    raise GRPCError(Status.NOT_FOUND, f"the task {task} has ended")
                return one.machine
        raise GRPCError(Status.NOT_FOUND, f"no task {task}")

    async def end(self, sandbox: Sandbox, status: Any) -> None:
        if sandbox.timer is not None:
            sandbox.timer.cancel()
        if not sandbox.machine.ended.is_set():
            sandbox.status = sandbox.status or status
        await sandbox.machine.kill()


def _result(sandbox: Sandbox) -> api_pb2.GenericResult | None:
    if not sandbox.machine.ended.is_set():
        return None
    code = sandbox.machine.exit_code or 0
    status = sandbox.status or (_FAILURE if code else _SUCCESS)
    return api_pb2.GenericResult(status=status, exitcode=code)


class ControlPlane(ModalClientBase):
    """What the SDK asks at `MODAL_SERVER_URL`."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def _take(self, stream: Any, *, token: bool = False) -> Any:
        request = await stream.recv_message()
        self.world.calls.append(type(request).__name__.removesuffix("Request"))
        metadata = stream.metadata
        if (metadata.get("x-modal-token-id"), metadata.get("x-modal-token-secret")) != TOKEN:
            raise GRPCError(Status.UNAUTHENTICATED, "unknown token")
        if token and metadata.get("x-modal-auth-token") not in self.world.tokens:
            raise GRPCError(Status.UNAUTHENTICATED, "no auth token")
        return request

    async def ClientHello(self, stream: Any) -> None:
        await self._take(stream)
        await stream.send_message(api_pb2.ClientHelloResponse())

    async def AuthTokenGet(self, stream: Any) -> None:
        await self._take(stream)
        await stream.send_message(api_pb2.AuthTokenGetResponse(token=self.world.token("auth")))

    async def AppGetOrCreate(self, stream: Any) -> None:
        request = await self._take(stream)
        self.world.apps.append(request.app_name)
        await stream.send_message(api_pb2.AppGetOrCreateResponse(app_id=f"ap-{request.app_name}"))

    async def EnvironmentGetOrCreate(self, stream: Any) -> None:
        await self._take(stream)
        settings = api_pb2.EnvironmentSettings(image_builder_version="2025.06")
        metadata = api_pb2.EnvironmentMetadata(name="main", settings=settings)
        await stream.send_message(
            api_pb2.EnvironmentGetOrCreateResponse(environment_id="en-1", metadata=metadata)
        )

    async def ImageGetOrCreate(self, stream: Any) -> None:
        request = await self._take(stream)
        commands = list(request.image.dockerfile_commands)
        if commands not in self.world.images:
            self.world.images.append(commands)
        why, self.world.faults.fail_image = self.world.faults.fail_image, None
        status = _SUCCESS if why is None else _FAILURE
        await stream.send_message(
            api_pb2.ImageGetOrCreateResponse(
                image_id=f"im-{self.world.images.index(commands)}",
                result=api_pb2.GenericResult(status=status, exception=why or ""),
                metadata=api_pb2.ImageMetadata(image_builder_version="2025.06"),
            )
        )

    async def MountBatchedCheckExistence(self, stream: Any) -> None:
        await self._take(stream)  # every file of this machine is there already
        await stream.send_message(api_pb2.MountBatchedCheckExistenceResponse())

    async def MountGetOrCreate(self, stream: Any) -> None:
        await self._take(stream)
        await stream.send_message(api_pb2.MountGetOrCreateResponse(mount_id="mo-1"))

    async def SecretGetOrCreate(self, stream: Any) -> None:
        request = await self._take(stream)
        name = request.deployment_name or f"ephemeral-{next(self.world.numbers)}"
        if request.env_dict:
            self.world.secrets[name] = dict(request.env_dict)
        await stream.send_message(api_pb2.SecretGetOrCreateResponse(secret_id=f"st-{name}"))

    async def VolumeGetOrCreate(self, stream: Any) -> None:
        request = await self._take(stream)
        await stream.send_message(
            api_pb2.VolumeGetOrCreateResponse(volume_id=f"vo-{request.deployment_name}")
        )

    async def SandboxCreateV2(self, stream: Any) -> None:
        request = await self._take(stream, token=True)
        faults = self.world.faults
        if faults.refuse_create is not None:
            refusal, faults.refuse_create = faults.refuse_create, None
            raise GRPCError(*refusal)
        sandbox = await self._create(request.definition, request.tags, request.secret_sources)
        if faults.slow_create:
            await asyncio.sleep(faults.slow_create)
        await stream.send_message(
            api_pb2.SandboxCreateV2Response(sandbox_id=sandbox.id, task_id=sandbox.task)
        )

    async def SandboxCreate(self, stream: Any) -> None:
        """The older kind, which the SDK takes for sandboxes with a GPU."""
        request = await self._take(stream)
        sandbox = await self._create(request.definition, request.tags, (), older=True)
        await stream.send_message(api_pb2.SandboxCreateResponse(sandbox_id=sandbox.id))

    async def _create(
        self, definition: api_pb2.Sandbox, tags: Any, secrets: Iterable[Any], *, older: bool = False
    ) -> Sandbox:
        number = next(self.world.numbers)
        access = definition.network_access.network_access_type
        machine = Machine(blocked=access == api_pb2.NetworkAccess.NetworkAccessType.BLOCKED)
        env: dict[str, str] = {}
        for source in secrets:
            name = source.secret_id.removeprefix("st-")
            env |= self.world.secrets.get(name, {}) | _inline(source)
        sandbox = Sandbox(
            id=f"sb-{number:022d}" if older else f"sb-01STANDIN{number:018d}",
            task=f"ta-{number:08d}" + ("" if older else "V"),
            definition=definition,
            tags={tag.tag_name: tag.tag_value for tag in tags},
            machine=machine,
        )
        await machine.start(
            list(definition.entrypoint_args), env=env, workdir=definition.workdir or "/"
        )
        self.world.sandboxes.append(sandbox)
        self.world.created.set()
        loop = asyncio.get_running_loop()
        sandbox.timer = loop.call_later(
            definition.timeout_secs,
            lambda: loop.create_task(self.world.end(sandbox, TIMED_OUT)),
        )
        return sandbox

    async def SandboxGetTaskId(self, stream: Any) -> None:
        request = await self._take(stream)
        task = self.world.sandbox(request.sandbox_id).task
        await stream.send_message(api_pb2.SandboxGetTaskIdResponse(task_id=task))

    async def TaskGetCommandRouterAccess(self, stream: Any) -> None:
        await self._take(stream)
        access = api_pb2.TaskGetCommandRouterAccessResponse(
            jwt=self.world.token("router"), url=self.world.url
        )
        await stream.send_message(access)

    async def SandboxGetCommandRouterAccess(self, stream: Any) -> None:
        await self._take(stream, token=True)
        access = api_pb2.SandboxGetCommandRouterAccessResponse(
            jwt=self.world.token("router"), url=self.world.url
        )
        await stream.send_message(access)

    async def _wait(self, stream: Any, request: Any) -> None:
        sandbox = self.world.sandbox(request.sandbox_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, request.timeout)):
                await sandbox.machine.ended.wait()
        await stream.send_message(api_pb2.SandboxWaitResponse(result=_result(sandbox)))

    async def SandboxWaitV2(self, stream: Any) -> None:
        await self._wait(stream, await self._take(stream, token=True))

    async def SandboxWait(self, stream: Any) -> None:
        await self._wait(stream, await self._take(stream))

    async def SandboxTerminateV2(self, stream: Any) -> None:
        request = await self._take(stream, token=True)
        await self.world.end(self.world.sandbox(request.sandbox_id), _TERMINATED)
        await stream.send_message(api_pb2.SandboxTerminateResponse())

    async def SandboxTerminate(self, stream: Any) -> None:
        request = await self._take(stream)
        await self.world.end(self.world.sandbox(request.sandbox_id), _TERMINATED)
        await stream.send_message(api_pb2.SandboxTerminateResponse())


class Router(TaskCommandRouterBase):
    """What the SDK asks of the worker on which a sandbox runs."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def _take(self, stream: Any) -> Any:
        token = str(stream.metadata.get("authorization", "")).removeprefix("Bearer ")
        if token not in self.world.tokens or token in self.world.refused:
            raise GRPCError(Status.UNAUTHENTICATED, "the token has expired")
        request = await stream.recv_message()
        self.world.calls.append(type(request).__name__.removesuffix("Request"))
        return request

    async def TaskExecStart(self, stream: Any) -> None:
        request = await self._take(stream)
        machine = self.world.live(request.task_id)
        if self.world.faults.refuse_exec is not None:
            refusal, self.world.faults.refuse_exec = self.world.faults.refuse_exec, None
            raise GRPCError(*refusal)
        assert sum(map(len, request.command_args)) <= 1 << 16
        env: dict[str, str] = {}
        for source in request.secret_sources:
            env |= _inline(source)
        if request.exec_id not in machine.execs:
            await machine.exec(request.exec_id, list(request.command_args), env)
        await stream.send_message(router_pb2.TaskExecStartResponse())

    async def TaskExecStdioRead(self, stream: Any) -> None:
        request = await self._take(stream)
        process = self.world.live(request.task_id).execs[request.exec_id]
        is_stdout = request.file_descriptor == router_pb2.TASK_EXEC_STDIO_FILE_DESCRIPTOR_STDOUT
        faults = self.world.faults
        async for data in process.outputs[0 if is_stdout else 1].since(request.offset):
            if is_stdout and faults.cut_stdout is not None:
                if len(data) >= faults.cut_stdout:
                    part, faults.cut_stdout = data[: faults.cut_stdout], None
                    faults.cuts += 1
                    if part:
                        await stream.send_message(router_pb2.TaskExecStdioReadResponse(data=part))
                    raise GRPCError(Status.UNAVAILABLE, "cut")
                faults.cut_stdout -= len(data)
            await stream.send_message(router_pb2.TaskExecStdioReadResponse(data=data))

    async def TaskExecStdinWrite(self, stream: Any) -> None:
        request = await self._take(stream)
        process = self.world.live(request.task_id).execs[request.exec_id]
        try:
            await process.write(request.offset, request.data, eof=request.eof)
        except ValueError as error:
            raise GRPCError(Status.FAILED_PRECONDITION, str(error)) from None
        faults = self.world.faults
        if faults.swallow_replies:
            faults.swallow_replies -= 1
            await asyncio.Event().wait()
        if faults.lose_replies:
            faults.lose_replies -= 1
            raise GRPCError(Status.UNAVAILABLE, "the reply is lost")
        await stream.send_message(router_pb2.TaskExecStdinWriteResponse())

    async def TaskExecStdinWriteStream(self, stream: Any) -> None:
        request = await self._take(stream)
        process = self.world.live(request.start.task_id).execs[request.start.exec_id]
        offset = request.start.offset
        async for message in stream:
            kind = message.WhichOneof("payload")
            await process.write(offset, message.data, eof=kind == "end")
            offset += len(message.data)
            if kind == "end":
                break
        await stream.send_message(router_pb2.TaskExecStdinWriteStreamResponse())

    async def TaskExecStdinStatus(self, stream: Any) -> None:
        request = await self._take(stream)
        process = self.world.live(request.task_id).execs[request.exec_id]
        await stream.send_message(
            router_pb2.TaskExecStdinStatusResponse(
                num_bytes_written=process.written, closed=process.closed
            )
        )

    async def TaskExecWait(self, stream: Any) -> None:
        request = await self._take(stream)
        process = self.world.live(request.task_id).execs[request.exec_id].process
        code = await process.wait()
        status = {"code": code} if code >= 0 else {"signal": -code}
        await stream.send_message(router_pb2.TaskExecWaitResponse(**status))

    async def TaskExecPoll(self, stream: Any) -> None:
        request = await self._take(stream)
        code = self.world.live(request.task_id).execs[request.exec_id].process.returncode
        status = {} if code is None else {"code": code} if code >= 0 else {"signal": -code}
        await stream.send_message(router_pb2.TaskExecPollResponse(**status))


# The SDK knows hundreds of calls more: they answer that they have no answer
ControlPlane.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
Router.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


def _inline(source: Any) -> dict[str, str]:
    """Return the variables that a request carries itself."""
    return dict(source.env.contents)
