"""Notes the hash of a big context, which the writer of the context takes for the kernel."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from rlm.events import Note
from rlm_kernel.context.hash import written_hash

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from rlm.core.recorder import Recorder, Span
    from rlm_kernel.context.value import ContextValue


@asynccontextmanager
async def context_noted(
    recorder: Recorder, *, known: bool
) -> AsyncIterator[Callable[[ContextValue], None]]:
    """Note a big context's hash as soon as it was written for the kernel and hashed meanwhile.

    Yields a function to call with the context once it is ready to travel. A run that ends well
    waits for the hash.

    Args:
        recorder: The run's; its current node is the run.
        known: Whether `RunStarted` has the hash already.
    """
    run = recorder.here()
    tasks: list[asyncio.Task[None]] = []

    def on_context(value: ContextValue) -> None:
        recorder.give_context(value)
        if not known and not tasks:
            work = _note_hash(recorder, run, value)
            tasks.append(asyncio.get_running_loop().create_task(work))

    try:
        yield on_context
        if tasks:
            await asyncio.wait(tasks)
    finally:
        for task in tasks:
            task.cancel()  # What was never written has no hash.
        if tasks:
            await asyncio.wait(tasks)


async def _note_hash(recorder: Recorder, run: Span | None, value: ContextValue) -> None:
    found = await written_hash(value)
    recorder.emit_child(
        run,
        Note,
        kind="context",
        text=f"The context's SHA-256 is {found.sha256}.",
        data=asdict(found),
    )
