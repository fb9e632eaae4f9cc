"""Lets `asyncio.run(...)` work in a cell although the kernel's own loop is running.

Models often write `asyncio.run(main())`, `asyncio.Runner` or `loop.run_until_complete(...)`. In a
notebook these raise, because a loop is running already. In our kernels such a call runs on another
thread, with the caller's context variables, while the cell waits and can be interrupted. No loop is
run inside another.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.runners
import contextvars
import functools
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def install() -> None:
    """Wrap asyncio's entry points in this process, once."""
    if getattr(asyncio.run, "_rlm_kernel", False):
        return
    asyncio.run = asyncio.runners.run = _wrap_run(asyncio.run)
    loop_class: Any = asyncio.base_events.BaseEventLoop
    loop_class.run_until_complete = _wrap_run_until_complete(loop_class.run_until_complete)
    if hasattr(asyncio, "Runner"):  # new in Python 3.11
        runner_class: Any = asyncio.Runner
        runner_class.run = _wrap_runner(runner_class.run)


def _inside_a_loop() -> bool:
    return asyncio._get_running_loop() is not None  # noqa: SLF001 - the one that does not raise


def _wrap_run(entry: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(entry)
    def run(main: Any, **kwargs: Any) -> Any:
        if not _inside_a_loop():
            return entry(main, **kwargs)
        return _Helper().run(lambda awaitable: entry(awaitable, **kwargs), main)

    run._rlm_kernel = True  # type: ignore[attr-defined]  # noqa: SLF001 - our own mark
    return run


def _wrap_runner(entry: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(entry)
    def run(runner: Any, coro: Any, **kwargs: Any) -> Any:
        if not _inside_a_loop():
            return entry(runner, coro, **kwargs)
        return _Helper().run(lambda awaitable: entry(runner, awaitable, **kwargs), coro)

    return run


def _wrap_run_until_complete(entry: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(entry)
    def run_until_complete(loop: asyncio.AbstractEventLoop, future: Any) -> Any:
        if not _inside_a_loop():
            return entry(loop, future)
        if not loop.is_running():
            return _Helper().run(lambda awaitable: entry(loop, awaitable), future)
        if asyncio.isfuture(future):
            raise RuntimeError(
                "This task belongs to the kernel's running loop: write `await task` in the cell "
                "instead of `loop.run_until_complete(task)`."
            )
        return asyncio.run(future)

    return run_until_complete


class _Helper:
    """A thread that runs one awaitable in a new event loop."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self, entry: Callable[[Any], Any], awaitable: Any) -> Any:
        """Run `entry(awaitable)` on the thread and return its result."""

        def work() -> None:
            try:
                self._value = entry(self._watched(awaitable))
            except BaseException as error:  # noqa: BLE001 - raised again in the cell
                self._error = error

        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(work,), name="asyncio.run", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(timeout=0.1)  # bounded: an unbounded join is not always interruptible
        except KeyboardInterrupt:
            if self._task is not None:
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)
            thread.join(timeout=1.0)
            raise
        if self._error is not None:
            raise self._error
        return self._value

    async def _watched(self, awaitable: Any) -> Any:
        self._task = asyncio.current_task()
        return await awaitable
