"""Runs callables on the thread that is blocked in `completion()`.

A question to a person has to be asked on that thread: only there does Ctrl-C interrupt it, and
another thread that reads from the terminal would outlive its run.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from rlm.errors import RLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class MainThreadCalls:
    """Takes calls from any thread and makes them on the thread that calls `serve`."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._closed = False

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function on the serving thread, and return what it returns.

        Raises:
            RLMError: No thread serves any more.
        """
        done: Future[T] = Future()
        self._calls.put((partial(function, *args), done))
        if self._closed:
            self._refuse_all()
        return done.result()

    def serve(self, timeout: float | None = None) -> None:
        """Make one call, or wait for one (`timeout` in seconds) until `wake` is called."""
        try:
            call = self._calls.get(timeout=timeout)
        except Empty:
            return
        if call is None:
            return
        function, done = call
        try:
            value = function()
        except KeyboardInterrupt:  # It is for the run: `completion()` stops that.
            done.set_exception(_not_served())
            raise
        except BaseException as error:  # noqa: BLE001 - raised in the caller
            done.set_exception(error)
        else:
            done.set_result(value)

    def wake(self) -> None:
        """End a `serve` that waits; from any thread."""
        self._calls.put(None)

    def close(self) -> None:
        """Stop serving: every pending call fails."""
        self._closed = True
        self._refuse_all()

    def _refuse_all(self) -> None:
        while True:
            try:
                call = self._calls.get_nowait()
            except Empty:
                return
            if call is not None:
                _, done = call
                done.set_exception(_not_served())


def _not_served() -> RLMError:
    return RLMError("No thread waits for the run any more.")


_here: ContextVar[MainThreadCalls | None] = ContextVar("rlm_main_thread", default=None)


def main_thread_here() -> MainThreadCalls | None:
    """Return where the current run's calls to the main thread go; None if no thread serves them."""
    return _here.get()


@contextmanager
def serve_main_thread() -> Iterator[MainThreadCalls]:
    """Accept the calls of runs that start in the `with` block; the caller serves them."""
    calls = MainThreadCalls()
    token = _here.set(calls)
    try:
        yield calls
    finally:
        _here.reset(token)
        calls.close()
