"""Hashes a big context while its run goes on, and notes the hash."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from rlm.events import Note
from rlm_kernel.context.hash import hash_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rlm.core.recorder import Recorder, Span
    from rlm_kernel.context.value import ContextValue


@asynccontextmanager
async def context_noted(
    recorder: Recorder, *, known: bool
) -> AsyncIterator[Callable[[ContextValue], None]]:
    """Hash the current run's context on a thread, and note the hash, unless it is `known` already.

    Yields a function to call with the context once it is ready to travel. A run that ends well
    waits for the hash.
    """
    run = recorder.here()
    tasks: list[asyncio.Task[None]] = []
    wanted = True

    def on_context(value: ContextValue) -> None:
        recorder.give_context(value)
        if not known and not tasks:
            work = _note_hash(recorder, run, value, lambda: wanted)
            tasks.append(asyncio.get_running_loop().create_task(work))

    try:
        yield on_context
        if tasks:
            await asyncio.wait(tasks)
    finally:
        wanted = False
        if tasks:
            await asyncio.wait(tasks)


async def _note_hash(
    recorder: Recorder, run: Span | None, value: ContextValue, go_on: Callable[[], bool]
) -> None:
    try:
        found = await asyncio.to_thread(hash_context, value, go_on=go_on)
    except Exception:  # noqa: BLE001 - the user may change it meanwhile; then it has no hash
        return
    recorder.emit_child(
        run,
        Note,
        kind="context",
        text=f"The context's SHA-256 is {found.sha256}.",
        data=asdict(found),
    )
