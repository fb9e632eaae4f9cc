"""The background event loop on which every run of this process lives.

The engine is asynchronous inside and synchronous at its edge: `completion()` blocks until its job
is done, also where the caller has a running loop (as in a notebook), and `acompletion()` awaits
the same kind of job from the caller's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rlm_kernel.host.process_hooks import after_fork_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from rlm.core.main_thread import MainThreadCalls

T = TypeVar("T")

_CANCEL_GRACE = 5.0
"""Seconds that a cancelled job has to free its resources before we stop waiting for it."""


class Job(Generic[T]):
    """A coroutine on the engine's loop, which any thread can wait for and cancel.

    It exists before it is scheduled, so that a Ctrl-C at any moment can cancel it.

    Attributes:
        future: The coroutine's result or error.
        interrupted: Whether a Ctrl-C ended `wait`.
    """

    def __init__(self, loop: EngineLoop, coroutine: Coroutine[Any, Any, T]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._context = contextvars.copy_context()
        self._task: asyncio.Task[T] | None = None
        self._cancelled = False
        self.interrupted = False
        self.future: Future[T] = Future()

    def start(self) -> None:
        """Schedule the job."""
        self._loop.call(self._start)

    def on_loop(self, function: Callable[[], object]) -> None:
        """Call a function soon on the job's loop, from any thread."""
        self._loop.call(function)

    def cancel(self) -> None:
        """Cancel the job; it frees its resources before its future is done."""
        self._loop.call(self._cancel)

    def wait(self, main_thread: MainThreadCalls | None = None) -> T:
        """Start the job, wait for it, and serve `main_thread` meanwhile; a Ctrl-C cancels it.

        Raises:
            KeyboardInterrupt: The user pressed Ctrl-C, and the job returned nothing.
        """
        try:
            self.start()
            if main_thread is not None:
                self.future.add_done_callback(lambda _: main_thread.wake())
                while not self.future.done():
                    main_thread.serve()
            return self.future.result()
        except KeyboardInterrupt:
            self.interrupted = True
            self.cancel()
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                return self.future.result(_CANCEL_GRACE)
            raise

    async def wait_async(self) -> T:
        """Start the job and wait for it from another loop; cancelling the waiter cancels it."""
        self.start()
        waiter = asyncio.wrap_future(self.future)
        try:
            return await asyncio.shield(waiter)
        except asyncio.CancelledError:
            self.cancel()
            await asyncio.wait({waiter}, timeout=_CANCEL_GRACE)
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # Retrieved, so that asyncio does not warn.
            raise

    def _start(self) -> None:
        if self._cancelled:
            return
        self._task = self._loop.loop.create_task(self._coroutine, context=self._context)
        self._task.add_done_callback(self._finish)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        elif not self._cancelled:
            self._coroutine.close()
            self.future.set_exception(asyncio.CancelledError())
        self._cancelled = True

    def _finish(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.future.set_exception(asyncio.CancelledError())
        elif error := task.exception():
            self.future.set_exception(error)
        else:
            self.future.set_result(task.result())


class EngineLoop:
    """An event loop on a daemon thread.

    Attributes:
        lock: Held while a thread makes what an `RLM` has once for this loop. A forked child has
            another loop, and so never waits for a lock whose thread it does not have. Re-entrant: a
            user's `__del__` may use an `RLM` while its thread holds the lock.
        thread: Runs the loop, and must not wait for it.
    """

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.lock = threading.RLock()
        self.thread = threading.Thread(target=self._run, name="rlm-engine", daemon=True)
        self.thread.start()

    @property
    def is_ours(self) -> bool:
        """Whether the loop runs in this process: a forked child has a copy without the thread."""
        return _Current.loop is self

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop and return its future."""
        job = Job(self, coroutine)
        job.start()
        return job.future

    def call(self, function: Callable[[], object]) -> None:
        """Call a function soon on the loop, from any thread."""
        self.loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


class _Current:
    """The loop of this process; a forked child forgets its parent's, as it lacks the thread."""

    loop: EngineLoop | None = None
    lock = threading.Lock()

    @classmethod
    def forget(cls) -> None:
        cls.loop = None
        cls.lock = threading.Lock()


after_fork_in_child(_Current.forget)


def engine_loop() -> EngineLoop:
    """Return the loop of this process; the first call starts it."""
    with _Current.lock:
        if _Current.loop is None:
            _Current.loop = EngineLoop()
        return _Current.loop


def on_engine_thread() -> bool:
    """Whether this is the engine's thread, which must not wait for its own loop."""
    loop = _Current.loop
    return loop is not None and threading.current_thread() is loop.thread


async def uncancellable(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await clean-up to its end even when cancelled meanwhile; then raise the cancellation."""
    task = asyncio.ensure_future(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
        except BaseException:  # noqa: BLE001 - raised by `task.result()` below
            break
    if cancelled is not None:
        if not task.cancelled():
            task.exception()
        raise cancelled
    return task.result()
