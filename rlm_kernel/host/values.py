"""The values that a session has bound in its REPL, kept for a restarted kernel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rlm_kernel.context.value import PlacedContext, load_failure
from rlm_kernel.errors import ContextError, KernelDiedError
from rlm_kernel.host.timeouts import LOAD_SECONDS

if TYPE_CHECKING:
    from rlm_kernel.host.requests import Requests


class KernelValues:
    """Contexts, histories and tools by name."""

    def __init__(self) -> None:
        self._attached: dict[str, PlacedContext] = {}
        self._assigned: dict[str, Any] = {}

    async def attach(self, kernel: Requests, name: str, placed: PlacedContext) -> None:
        """Bind a context, and keep it once the kernel has loaded it (see `Session.attach`)."""
        await _attach(kernel, name, placed)
        self._attached[name] = placed

    async def assign(self, kernel: Requests, name: str, value: Any, *, append: bool) -> None:
        """Bind a JSON value, and keep it even when the kernel has died (see `Session.assign`)."""
        try:
            await _assign(kernel, name, value, append=append)
        except KernelDiedError:
            self._keep(name, value, append=append)
            raise
        self._keep(name, value, append=append)

    async def restore(self, kernel: Requests) -> None:
        """Bind everything in a new kernel."""
        for name, placed in self._attached.items():
            await _attach(kernel, name, placed)
        for name, value in self._assigned.items():
            await _assign(kernel, name, value, append=False)

    def _keep(self, name: str, value: Any, *, append: bool) -> None:
        if append and name in self._assigned:
            self._assigned[name] = [*self._assigned[name], *value]
        else:
            self._assigned[name] = value


async def _attach(kernel: Requests, name: str, placed: PlacedContext) -> None:
    content = {"name": name, "path": placed.path, "form": placed.form}
    try:
        reply = await kernel.ask("rlm_attach_request", content, within=LOAD_SECONDS)
    except (TimeoutError, KernelDiedError) as error:
        raise ContextError(
            f"The context ({placed.type_name}, {placed.bytes:,} bytes) could not be loaded in "
            f"the REPL. {error or f'It took longer than {LOAD_SECONDS:.0f} s.'}"
        ) from error
    if reply.get("status") != "ok":
        raise ContextError(load_failure(placed, reply))


async def _assign(kernel: Requests, name: str, value: Any, *, append: bool) -> None:
    content = {"name": name, "append": append}
    # surrogatepass: text that is not valid UTF-8 arrives unchanged
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    reply = await kernel.ask("rlm_assign_request", content, [data], within=LOAD_SECONDS)
    if reply.get("status") != "ok":
        raise ContextError(f"{name} could not be set in the REPL: {reply.get('evalue')}")
