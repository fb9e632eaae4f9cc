"""A run in the background: to watch, to wait for from anywhere, to stop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from rlm.api.outcome import FLUSH_SECONDS, cancelled, raise_or_return
from rlm.api.readers import checked_readers
from rlm.errors import RLMError
from rlm.usage import UsageSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path
    from typing import Any

    from rlm.api.outcome import Outcome
    from rlm.api.readers import ReaderSet
    from rlm.core.loop import Job
    from rlm.core.recorder import Recorder
    from rlm.core.types import RLMChatCompletion
    from rlm.logger.delivery import Delivery, Reader
    from rlm.trajectory import Trajectory


class RunHandle:
    """A run that goes on by itself; `RLM.start` returns it.

    ::

        handle = rlm.start(text, root_prompt="Who is the narrator?")
        handle.trajectory  # as far as it is
        result = handle.result()  # or: await handle

    It may be used from any thread. Whoever waits for it only waits: a timeout, a Ctrl-C or a
    cancelled task ends the waiting, and `stop` ends the run.

    Attributes:
        id: What the ids of all its events begin with.
        trajectory: The record of the tree; it grows while the run goes on.
    """

    def __init__(
        self,
        job: Job[Outcome],
        recorder: Recorder,
        readers: ReaderSet,
        owner: object,
    ) -> None:
        """Start the run.

        Args:
            job: The run.
            recorder: Its record.
            readers: The readers of its `RLM`.
            owner: The `RLM`, kept alive until the run is over: the run needs its resources.
        """
        self.id = recorder.tree_id
        self.trajectory: Trajectory = recorder.trajectory
        self._job = job
        self._recorder = recorder
        self._readers = readers
        self._owner: object = owner
        self._lock = threading.Lock()
        self._deliveries: dict[int, Delivery] = {}
        _running.add(self)
        job.future.add_done_callback(self._release)
        job.start()

    @property
    def done(self) -> bool:
        """Whether the run is over, its kernels closed."""
        return self._job.future.done()

    @property
    def error(self) -> RLMError | None:
        """Why the run ended without an answer; None while it goes on, or when it has one."""
        outcome = self._outcome if self.done else None
        return outcome if isinstance(outcome, RLMError) else None

    @property
    def answer(self) -> str | None:
        """The final (or best partial) answer; None until it is over."""
        return self.trajectory.root.answer if self.trajectory.root else None

    @property
    def usage(self) -> UsageSummary:
        """What the whole tree took so far."""
        return self.trajectory.usage or UsageSummary()

    def stop(self) -> None:
        """Cancel the run and return at once; it ends with a `CancellationError`.

        It frees what it holds before it is `done`. A run that is over stays as it ended.
        """
        self._job.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run is over, and return whether it is; never raises what it ended in.

        Args:
            timeout: How long at most, in seconds; None for as long as it takes.
        """
        concurrent.futures.wait([self._job.future], timeout)
        return self.done

    def result(self, timeout: float | None = None) -> RLMChatCompletion:
        """Wait for the run and return what `RLM.completion` would have.

        Args:
            timeout: How long at most, in seconds; None for as long as it takes.

        Raises:
            TimeoutError: It is not over yet; it goes on.
            RLMError: What the run ended in, as `RLM.completion` raises it.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"The run is not over after {timeout} s; it goes on.")
        self._readers.flush(FLUSH_SECONDS)
        return raise_or_return(self._outcome, self._readers)

    def __await__(self) -> Generator[Any, None, RLMChatCompletion]:
        """Wait for the run from any event loop; cancelling the waiting task leaves it running."""
        return self._awaited().__await__()

    def add_reader(self, reader: Reader) -> None:
        """Tell one more reader: first of all that happened so far, then of each event as it comes.

        It is called in order on a thread of its own, and closed by nobody but its owner.

        Args:
            reader: An object with `on_event(event)`.

        Raises:
            ArgumentError: It is none.
        """
        from rlm.logger.delivery import QUEUE_LIMIT, Delivery

        checked_readers(reader)
        # What has happened already must find room, however much it is.
        delivery = Delivery((reader,), queue_limit=QUEUE_LIMIT + len(self.trajectory))
        with self._lock:
            if id(reader) in self._deliveries:
                return
            self._deliveries[id(reader)] = delivery
        # On the engine's loop, where events happen, none comes between the past and the next.
        self._job.on_loop(lambda: self._attach(delivery))

    def remove_reader(self, reader: Reader) -> None:
        """Tell a reader nothing more.

        Args:
            reader: One that was added; any other is ignored.
        """
        with self._lock:
            delivery = self._deliveries.pop(id(reader), None)
        if delivery is not None:
            delivery.forget()

    def add_done_callback(self, callback: Callable[[RunHandle], object]) -> None:
        """Call a function when the run is over, or now when it is.

        Args:
            callback: Called with the handle, on the engine's thread: it must not wait.
        """
        self._job.future.add_done_callback(lambda _: callback(self))

    def save(self, path: str | Path) -> Path:
        """Write the trajectory, as far as it is, to a file; the suffix decides the format.

        Args:
            path: The file, ending in one of `rlm.trajectory.SUFFIXES`.

        Raises:
            ConfigurationError: There is no format of that suffix.
            OSError: The file cannot be written.
        """
        return self.trajectory.save(path)

    def view(self) -> None:
        """Show the run as far as it is: in the viewer in a notebook, as a tree in a terminal."""
        self.trajectory.view()

    def __repr__(self) -> str:
        from rlm.render.outline import summary

        root = self.trajectory.root
        told = summary(root) if root is not None else ""
        state = "" if self.done else "running"
        if self.done and (root is None or root.finished is None):
            state = type(self.error).__name__
        return f"<RunHandle {self.id}: {' · '.join(filter(None, [state, told])) or 'starting'}>"

    @cached_property
    def _outcome(self) -> Outcome:
        """The result or error of a run that is over."""
        try:
            return self._job.future.result(0)
        except asyncio.CancelledError:
            return cancelled(self._recorder)

    async def _awaited(self) -> RLMChatCompletion:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        def tell(_: object) -> None:
            with suppress(RuntimeError):  # The loop is closed: nobody waits.
                loop.call_soon_threadsafe(over.set)

        self._job.future.add_done_callback(tell)
        await over.wait()
        await asyncio.to_thread(self._readers.flush, FLUSH_SECONDS)
        return raise_or_return(self._outcome, self._readers)

    def _attach(self, delivery: Delivery) -> None:
        for event in self.trajectory.events:
            delivery.emit(event)
        self._recorder.listen(delivery.emit)
        # Not before the past is told: the run may have ended since the reader came.
        self._job.future.add_done_callback(lambda _: delivery.forget())

    def _release(self, _: object) -> None:
        """Let go of what only a run that goes on needs; on the engine's thread."""
        _running.discard(self)
        self._owner = None


_running: set[RunHandle] = set()
"""The runs of this process that go on: nobody has to keep a handle for that."""
