"""Where a run's threads leave what the thread that waits for the run is to do for them.

A question to a person belongs on the thread that the person waits with: only there a Ctrl-C ends
it, and a thread of ours that reads a terminal would outlive its run.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from rlm.errors import RLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class MainThreadCalls:
    """Takes errands from any thread, and does them on the one that serves."""

    def __init__(self) -> None:
        self._errands: SimpleQueue[_Errand | None] = SimpleQueue()
        self._closed = False

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Have a function called on the serving thread, and wait for what it returns.

        Args:
            function: It may wait for a person.
            args: Its arguments.

        Raises:
            RLMError: Nobody serves any more.
        """
        errand = _Errand(function, args)
        self._errands.put(errand)
        if self._closed:
            self._give_back()
        value: T = errand.done.result()
        return value

    def serve(self, timeout: float | None = None) -> None:
        """Do one errand, or wait for one until `wake` is called.

        Args:
            timeout: How long to wait, in seconds; None for as long as it takes.
        """
        try:
            errand = self._errands.get(timeout=timeout)
        except Empty:
            return
        if errand is not None:
            errand.do()

    def wake(self) -> None:
        """End a `serve` that waits; from any thread."""
        self._errands.put(None)

    def close(self) -> None:
        """Serve no more: whoever waits for an errand gets an error."""
        self._closed = True
        self._give_back()

    def _give_back(self) -> None:
        while True:
            try:
                errand = self._errands.get_nowait()
            except Empty:
                return
            if errand is not None:
                errand.done.set_exception(_nobody_serves())


class _Errand:
    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._function = function
        self._args = args
        self.done: Future[Any] = Future()

    def do(self) -> None:
        try:
            value = self._function(*self._args)
        except KeyboardInterrupt:  # It is for the whole run, which its waiter will stop.
            self.done.set_exception(_nobody_serves())
            raise
        except BaseException as error:  # noqa: BLE001 - raised where the errand is waited for
            self.done.set_exception(error)
        else:
            self.done.set_result(value)


def _nobody_serves() -> RLMError:
    return RLMError("Nobody waits for the run any more.")


_here: ContextVar[MainThreadCalls | None] = ContextVar("rlm_desk", default=None)


def main_thread_here() -> MainThreadCalls | None:
    """Return the desk of the run that called us; None when nobody serves one."""
    return _here.get()


@contextmanager
def serve_main_thread() -> Iterator[MainThreadCalls]:
    """Open a desk for the runs that are started within; the caller serves it."""
    desk = MainThreadCalls()
    token = _here.set(desk)
    try:
        yield desk
    finally:
        _here.reset(token)
        desk.close()
