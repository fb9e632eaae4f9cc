"""The sandbox on Modal: one for each tree, reached by one `exec`, without network or ports."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.context.write import write_context
from rlm_kernel.errors import ContextError
from rlm_kernel.host.process_hooks import at_exit
from rlm_kernel.modal.account import explained, sdk
from rlm_kernel.modal.image import kernel_image
from rlm_kernel.modal.program import entry_point, kernel_program
from rlm_kernel.modal.stream import ModalStream, is_final
from rlm_kernel.relay.machine import ROOT
from rlm_kernel.relay.sandbox import RelayedSandbox

if TYPE_CHECKING:
    from rlm_kernel.context.value import ContextValue
    from rlm_kernel.modal.options import ModalOptions

TAG = "rlm-kernel"

SILENCE_SECONDS = 15.0
"""How much longer than the longest outage each end waits for the other."""

MAX_IN_STREAM = 256 << 10
"""Bytes of the largest context to send through the stream: one round trip instead of four."""

_STDERR_KEPT = 4000
_STDERR_SECONDS = 1.0
_POLL_SECONDS = 5.0
_END_SECONDS = 15.0
_PAUSE_SECONDS = 0.5
_TIMED_OUT = 124
"""The exit code that the SDK gives a sandbox whose `timeout` has passed."""

_log = logging.getLogger(__name__)
_live: set[Any] = set()
"""Running sandboxes, to terminate when this process ends."""


def modal_sandbox(options: ModalOptions) -> RelayedSandbox:
    """Return a new tree's sandbox on Modal; call it on the event loop that will use it."""
    return RelayedSandbox(
        lambda: _start(options), silence=options.reconnect_timeout + SILENCE_SECONDS
    )


class ModalMachine:
    """A Modal sandbox with a fork server in it (see `rlm_kernel.relay.machine.Machine`)."""

    def __init__(self, sandbox: Any, process: Any, options: ModalOptions) -> None:
        self._sandbox = sandbox
        self._process = process
        self._options = options
        self._stderr = bytearray()
        # At once: stderr cannot be read any more when the sandbox has ended
        self._listener = asyncio.create_task(self._listen(), name="rlm modal stderr")
        self.stream = ModalStream(process, self._ended, options.reconnect_timeout)
        self.workdir = options.workdir

    async def place(self, value: ContextValue, path: str) -> int | None:
        """Upload a value by Modal's file transfer; None for a small one: the stream is faster."""
        if value.form in ("text", "bytes") and len(value.value) <= MAX_IN_STREAM:
            return None
        with tempfile.TemporaryDirectory(prefix="rlm-context-") as folder:
            file = Path(folder, "context")
            size = (await asyncio.to_thread(write_context, value, file)).bytes
            if size <= MAX_IN_STREAM:
                return None
            await self._upload(file, path, value.type_name)
        return size

    async def _upload(self, file: Path, path: str, type_name: str) -> None:
        from modal.exception import SandboxFilesystemError

        began = time.monotonic()
        while True:
            try:
                await self._sandbox.filesystem.copy_from_local.aio(str(file), path)
            except SandboxFilesystemError as error:
                raise ContextError(
                    f"The context ({type_name}) could not be written in the sandbox: {error}. Give "
                    "it more room: environment_kwargs={'memory': '8g'}."
                ) from error
            except Exception as error:
                waited = time.monotonic() - began
                if is_final(error) or waited > self._options.reconnect_timeout:
                    raise explained(error) from error
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    async def end(self, *, ended: bool) -> None:
        """Terminate the sandbox; if it has `ended`, that does no harm."""
        del ended
        self._listener.cancel()
        await asyncio.wait([self._listener])
        await _terminate(self._sandbox)

    async def exit_reason(self) -> str:
        """Say how the sandbox ended, and what it wrote to stderr."""
        await asyncio.wait([self._listener], timeout=_STDERR_SECONDS)
        stderr = self._stderr.decode("utf-8", "replace").strip()
        why = await self._ended() or ""
        return f"{why} The sandbox said: {stderr[-1000:]}".strip() if stderr else why

    async def _listen(self) -> None:
        with contextlib.suppress(Exception):
            async for data in self._process.stderr:
                self._stderr += data
                del self._stderr[:-_STDERR_KEPT]

    async def _ended(self) -> str | None:
        """Say why the sandbox has ended; None while it runs, or when Modal does not answer."""
        code = None
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_POLL_SECONDS):
                code = await self._sandbox.poll.aio()
        if code is None:
            return None
        if code == _TIMED_OUT:
            return (
                f"Modal ended the sandbox: its timeout of {self._options.timeout} s has passed "
                "(environment_kwargs['timeout'])."
            )
        return f"The Modal sandbox has ended (exit code {code})."


async def _start(options: ModalOptions) -> ModalMachine:
    modal = await asyncio.to_thread(sdk)
    try:
        app = await modal.App.lookup.aio(options.app_name, create_if_missing=True)
        image = await _made(kernel_image(modal, options), app)
        sandbox = await _created(modal, app, image, options)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        raise explained(error) from error
    try:
        silence = options.reconnect_timeout + SILENCE_SECONDS
        program = kernel_program(ROOT, silence=silence, workdir=options.workdir)
        process = await sandbox.exec.aio(*program, text=False)
    except BaseException as error:
        await _terminate(sandbox)
        if isinstance(error, Exception):
            raise explained(error) from error
        raise
    return ModalMachine(sandbox, process, options)


async def _made(image: Any, app: Any) -> Any:
    """Have Modal make the image if it has none; tell the user when that takes a while."""
    making = asyncio.ensure_future(image.build.aio(app))
    try:
        done, _ = await asyncio.wait([making], timeout=_POLL_SECONDS)
        if not done:
            _log.warning("Modal is making the kernel's image (once; this takes a minute) ...")
        return await making
    finally:
        making.cancel()


async def _created(modal: Any, app: Any, image: Any, options: ModalOptions) -> Any:
    creating = asyncio.ensure_future(
        modal.Sandbox.create.aio(
            *entry_point(),
            app=app,
            image=image,
            name=options.name,
            tags={TAG: "sandbox", f"{TAG}-pid": str(os.getpid()), **options.tags},
            secrets=[_secret(modal, one) for one in options.secrets],
            volumes={path: _volume(modal, one) for path, one in options.volumes.items()},
            timeout=options.timeout,
            idle_timeout=options.idle_timeout,
            gpu=options.gpu,
            region=options.region,
            cpu=options.cpu,
            memory=options.memory,
            block_network=options.block_network,
            outbound_domain_allowlist=options.outbound_domain_allowlist,
        )
    )
    try:
        sandbox = await asyncio.shield(creating)
    except asyncio.CancelledError:
        # The request may have been sent: we have to end the sandbox that it makes
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_END_SECONDS):
                await _terminate(await creating)
        raise
    _live.add(sandbox)
    at_exit(_terminate_all, in_child=_live.clear)
    return sandbox


def _secret(modal: Any, secret: Any) -> Any:
    if isinstance(secret, str):
        return modal.Secret.from_name(secret)
    return modal.Secret.from_dict(secret) if isinstance(secret, dict) else secret


def _volume(modal: Any, volume: Any) -> Any:
    return modal.Volume.from_name(volume) if isinstance(volume, str) else volume


async def _terminate(sandbox: Any) -> None:
    """End a sandbox and our connection to it; without Modal's answer it ends itself later."""
    try:
        async with asyncio.timeout(_END_SECONDS):
            await sandbox.terminate.aio()
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises
        if not is_final(error):
            _log.warning(
                "The Modal sandbox %s could not be ended (%s); it ends by itself, at its timeout "
                "at the latest.",
                sandbox.object_id,
                error,
            )
    finally:
        _live.discard(sandbox)
        with contextlib.suppress(Exception):
            await sandbox.detach.aio()


def _terminate_all() -> None:
    """Terminate the running sandboxes when this process ends."""
    for sandbox in list(_live):
        with contextlib.suppress(Exception):
            sandbox.terminate()
