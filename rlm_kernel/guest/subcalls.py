"""The kernel's end of sub-calls: many callers, one control channel, nothing lost.

Any thread or task may call. Calls queue up; the control thread sends as many as the window allows,
batched in `rlm_call` messages (see `rlm_kernel.protocol.subcalls`). When a call has had no answer
for a while, the kernel asks the host (`rlm_poll`). The host says that the call is pending, or
answers it again, or does not know it, and then the kernel sends it again. The host removes
duplicates, so a lost message never causes an endless wait or a second execution.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from rlm_kernel.protocol.subcalls import (
    BATCH_CALLS,
    BATCH_CHARACTERS,
    CALL,
    CANCEL,
    POLL,
    WINDOW,
    put_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MAX_SENDS = 3
"""How often a call is sent before it fails."""

QUIET_SECONDS = 1.0
"""A thread that has not called for this long no longer works for the interrupted cell."""

POLL_SECONDS = 5.0
"""After this silence the kernel polls the host about a call."""

DEADLINE_SECONDS = 60.0
"""After this silence the host counts as gone, and the call fails."""


class CallInterruptedError(Exception):
    """The cell that made the call was interrupted."""


@dataclass(slots=True, eq=False)
class _Call:
    id: int
    body: dict[str, Any]
    text: str
    of_cell: bool
    future: Future[Any] = field(default_factory=Future)
    heard: float = field(default_factory=time.monotonic)
    sends: int = 0

    def settle(self, value: Any, error: str | None) -> None:
        """Give the caller its answer, unless it no longer waits."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_result((value, error))

    def interrupt(self) -> None:
        """Tell the caller that its cell was interrupted, unless it no longer waits."""
        with contextlib.suppress(InvalidStateError):
            self.future.set_exception(CallInterruptedError("the cell was interrupted"))


class SubCallClient:
    """Sends sub-calls and gives the callers their answers.

    Args:
        send: Sends a message to the host: `send(msg_type, content, buffers)`. Called on the
            control thread only.
        on_control_thread: Schedules a function on the control thread, from any thread.
        reachable: Whether the host has said hello; calls wait for that.
    """

    def __init__(
        self,
        send: Callable[[str, dict[str, Any], list[bytes]], None],
        on_control_thread: Callable[[Callable[[], None]], None],
        reachable: Callable[[], bool],
    ) -> None:
        self._send = send
        self._reachable = reachable
        self._on_control_thread = on_control_thread
        self._ids = itertools.count(1)
        self._lock = threading.RLock()  # a signal handler may call as well
        self._queue: deque[_Call] = deque()
        self._sent: dict[int, _Call] = {}
        self._sending_scheduled = False
        # Keyed by the thread itself: a new thread may get an ended thread's number
        self._barred: WeakKeyDictionary[threading.Thread, float] = WeakKeyDictionary()

    def submit(
        self, bodies: Iterable[dict[str, Any]], *, of_cell: bool = True
    ) -> list[Future[Any]]:
        """Queue calls from any thread; return a future of `(value, error)` for each.

        Args:
            bodies: The calls: `kind`, `model`, `name` and `prompt`.
            of_cell: Whether an interrupt of the cell fails them.
        """
        calls = [self._call(body, of_cell) for body in bodies]
        if of_cell and self._is_barred():
            for call in calls:
                call.interrupt()
        else:
            with self._lock:
                self._queue.extend(calls)
            self._schedule_sending()
        return [call.future for call in calls]

    def _is_barred(self) -> bool:
        """Return whether the calling thread still works for an interrupted cell."""
        thread = threading.current_thread()
        last = self._barred.get(thread)
        if last is None:
            return False
        now = time.monotonic()
        if now - last > QUIET_SECONDS:
            self._barred.pop(thread, None)
            return False
        self._barred[thread] = now
        return True

    def abandon(self, futures: Sequence[Future[Any]]) -> None:
        """Cancel calls that nobody waits for any more."""
        gone = set(map(id, futures))
        with self._lock:
            self._queue = deque(call for call in self._queue if id(call.future) not in gone)
            ids = [call.id for call in self._sent.values() if id(call.future) in gone]
            for call_id in ids:
                del self._sent[call_id]
        if ids:
            self._on_control_thread(lambda: self._send(CANCEL, {"ids": ids}, []))

    def interrupt(self) -> None:
        """Fail every call that a cell waits for; called on the control thread.

        The later calls of every thread fail too, until the thread pauses: a pool with a thousand
        more prompts in its queue must not go on calling for a stopped cell.
        """
        with self._lock:
            threads = dict.fromkeys(threading.enumerate(), time.monotonic())
            threads.pop(threading.main_thread(), None)
            self._barred = WeakKeyDictionary(threads)
            calls = [call for call in (*self._sent.values(), *self._queue) if call.of_cell]
            ids = [call.id for call in calls if call.id in self._sent]
            for call_id in ids:
                del self._sent[call_id]
            self._queue = deque(call for call in self._queue if not call.of_cell)
        for call in calls:
            call.interrupt()
        if ids:
            self._send(CANCEL, {"ids": ids}, [])

    def receive(self, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        """Take an `rlm_reply`; called on the control thread."""
        now = time.monotonic()
        for answer in content.get("answers", ()):
            with self._lock:
                call = self._sent.pop(answer["id"], None)
            if call is None:
                continue  # a second answer, or one that nobody waits for
            if "buffer" in answer:
                value: Any = bytes(buffers[answer["buffer"]]).decode("utf-8", "replace")
            else:
                value = answer.get("value")
            call.settle(value, answer.get("error"))
        with self._lock:
            for call_id in content.get("pending", ()):
                if call_id in self._sent:
                    self._sent[call_id].heard = now
            unknown = [self._sent.pop(i) for i in content.get("unknown", ()) if i in self._sent]
            again = [call for call in unknown if call.sends < MAX_SENDS]
            self._queue.extendleft(reversed(again))
        for call in unknown:
            if call.sends >= MAX_SENDS:
                call.settle(None, f"the call did not reach the host in {MAX_SENDS} tries")
        self._send_batches()

    def reached(self, *, new_host: bool) -> None:
        """Send what waits for the host's hello; called on the control thread.

        Args:
            new_host: Whether this host does not know the calls that were sent before.
        """
        if new_host:
            with self._lock:
                self._queue.extendleft(reversed(self._sent.values()))
                self._sent.clear()
        self._send_batches()

    def poll(self) -> None:
        """Ask about silent calls; called on the control thread every few seconds."""
        now = time.monotonic()
        with self._lock:
            silent = [call for call in self._sent.values() if now - call.heard > POLL_SECONDS]
            lost = [call for call in silent if now - call.heard > DEADLINE_SECONDS]
            for call in lost:
                del self._sent[call.id]
            while not self._reachable() and self._queue:
                if now - self._queue[0].heard <= DEADLINE_SECONDS:
                    break
                lost.append(self._queue.popleft())
        for call in lost:
            call.settle(None, f"the host has not answered for {DEADLINE_SECONDS:.0f} seconds")
        ids = [call.id for call in silent if call not in lost]
        if ids:
            self._send(POLL, {"ids": ids}, [])
        self._send_batches()

    def _call(self, body: dict[str, Any], of_cell: bool) -> _Call:
        prompt = body.pop("prompt")
        if isinstance(prompt, str):
            return _Call(next(self._ids), body, prompt, of_cell)
        return _Call(next(self._ids), {**body, "json": True}, json.dumps(prompt), of_cell)

    def _schedule_sending(self) -> None:
        with self._lock:
            if self._sending_scheduled:
                return
            self._sending_scheduled = True
        self._on_control_thread(self._send_batches)

    def _send_batches(self) -> None:
        """Send what the window allows."""
        while True:
            with self._lock:
                self._sending_scheduled = False
                batch = self._next_batch() if self._reachable() else []
                if not batch:
                    return
                floor = min(self._sent, default=0)
            calls = []
            buffers: list[bytes] = []
            for call in batch:
                entry = {"id": call.id, **call.body}
                put_text(entry, "prompt", call.text, buffers)
                calls.append(entry)
            self._send(CALL, {"floor": floor, "calls": calls}, buffers)

    def _next_batch(self) -> list[_Call]:
        batch: list[_Call] = []
        characters = 0
        now = time.monotonic()
        while self._queue and len(self._sent) < WINDOW and len(batch) < BATCH_CALLS:
            size = len(self._queue[0].text)
            if batch and characters + size > BATCH_CHARACTERS:
                break
            call = self._queue.popleft()
            call.heard = now
            call.sends += 1
            characters += size
            self._sent[call.id] = call
            batch.append(call)
        return batch
