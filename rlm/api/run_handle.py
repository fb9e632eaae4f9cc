"""A run in the background, which any thread can watch, wait for and stop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from rlm.api.outcome import cancelled, raise_or_return
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
    """A run in the background; `RLM.start` returns it.

    ::

        handle = rlm.start(text, root_prompt="Who is the narrator?")
        handle.trajectory  # the record so far
        result = handle.result()  # or: await handle

    It may be used from any thread. A timeout, a Ctrl-C or a cancelled task ends only the waiting;
    `stop` ends the run.

    Args:
        job: The run on the engine's loop, not started yet.
        recorder: Holds the run's record.
        readers: Who gets its events.
        owner: Its `RLM`, kept alive until the run is over.

    Attributes:
        id: The prefix of the ids of all the run's events.
        trajectory: The record of the tree; it grows while the run is going.
    """

    def __init__(
        self,
        job: Job[Outcome],
        recorder: Recorder,
        readers: ReaderSet,
        owner: object,
    ) -> None:
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
        """Why the run ended without an answer; None while it is running, or when it has one."""
        outcome = self._outcome if self.done else None
        return outcome if isinstance(outcome, RLMError) else None

    @property
    def answer(self) -> str | None:
        """The final (or best partial) answer; None until the run is over."""
        return self.trajectory.root.answer if self.trajectory.root else None

    @property
    def usage(self) -> UsageSummary:
        """Usage of the whole tree so far."""
        return self.trajectory.usage or UsageSummary()

    def stop(self) -> None:
        """Cancel the run and return at once; it ends with a `CancellationError`.

        The run is `done` when it has freed its resources. Nothing happens if it is over already.
        """
        self._job.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run is over, and return whether it is; never raises the run's error.

        Args:
            timeout: The most seconds to wait; None waits without limit.
        """
        concurrent.futures.wait([self._job.future], timeout)
        return self.done

    def result(self, timeout: float | None = None) -> RLMChatCompletion:
        """Wait for the run, and return or raise what `RLM.completion` would.

        Args:
            timeout: The most seconds to wait; None waits without limit.

        Raises:
            TimeoutError: The run is not over yet; it goes on.
            RLMError: The run's error, as `RLM.completion` raises it.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"The run is not over after {timeout} s; it goes on.")
        self._readers.flush()
        return raise_or_return(self._outcome, self._readers)

    def __await__(self) -> Generator[Any, None, RLMChatCompletion]:
        """Wait for the run from any event loop; cancelling the waiting task leaves it running."""
        return self._awaited().__await__()

    def add_reader(self, reader: Reader) -> None:
        """Add a reader: it gets all events so far, then each new one.

        It is called in order, on a separate thread. It is not closed at the end of the run.

        Args:
            reader: An object with `on_event(event)`.

        Raises:
            ArgumentError: The object is not a reader.
        """
        from rlm.logger.delivery import QUEUE_LIMIT, Delivery

        checked_readers(reader)
        # All past events must fit, however many they are.
        delivery = Delivery((reader,), queue_limit=QUEUE_LIMIT + len(self.trajectory))
        with self._lock:
            if id(reader) in self._deliveries:
                return
            self._deliveries[id(reader)] = delivery
        # Events are emitted on the engine's loop: there, none is lost between past and next.
        self._job.on_loop(lambda: self._attach(delivery))

    def remove_reader(self, reader: Reader) -> None:
        """Remove a reader.

        Args:
            reader: One that was added; others are ignored.
        """
        with self._lock:
            delivery = self._deliveries.pop(id(reader), None)
        if delivery is not None:
            delivery.forget()

    def add_done_callback(self, callback: Callable[[RunHandle], object]) -> None:
        """Call a function when the run is over, or at once if it is over already.

        Args:
            callback: Called with the handle, on the engine's thread; it must not block.
        """
        self._job.future.add_done_callback(lambda _: callback(self))

    def save(self, path: str | Path) -> Path:
        """Write the trajectory so far to a file; the suffix decides the format.

        Args:
            path: The file, ending in one of `rlm.trajectory.SUFFIXES`.

        Raises:
            ConfigurationError: There is no format of that suffix.
            OSError: The file cannot be written.
        """
        return self.trajectory.save(path)

    def view(self) -> None:
        """Show the run so far: in the viewer in a notebook, as a tree in a terminal."""
        self.trajectory.view()

    def __repr__(self) -> str:
        from rlm.render.outline import summary

        root = self.trajectory.root
        figures = summary(root) if root is not None else ""
        state = "" if self.done else "running"
        if self.done and (root is None or root.finished is None):
            state = type(self.error).__name__
        return f"<RunHandle {self.id}: {' · '.join(filter(None, [state, figures])) or 'starting'}>"

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

        def on_done(_: object) -> None:
            with suppress(RuntimeError):  # The loop is closed: nobody waits.
                loop.call_soon_threadsafe(over.set)

        self._job.future.add_done_callback(on_done)
        await over.wait()
        await asyncio.to_thread(self._readers.flush)
        return raise_or_return(self._outcome, self._readers)

    def _attach(self, delivery: Delivery) -> None:
        for event in self.trajectory.events:
            delivery.emit(event)
        self._recorder.listen(delivery.emit)
        # After the past events: the run may have ended since the reader was added.
        self._job.future.add_done_callback(lambda _: delivery.forget())

    def _release(self, _: object) -> None:
        """Release what only a running run needs; on the engine's thread."""
        _running.discard(self)
        self._owner = None


_running: set[RunHandle] = set()
"""Keeps the handles of runs that are going: their users need not."""
