"""The kernel's end of sub-calls: many callers, one control channel, nothing lost.

Any thread or task may call. Calls queue up, the control thread sends as many as the window
allows, coalesced in `rlm_call` messages; the host answers with `rlm_reply`. A call that hears
nothing for a while is asked after by its id (`rlm_poll`): the host says that it is pending,
answers again, or that it does not know it, and then it is sent again. The host removes duplicates,
so a lost message is never an endless wait and never a second execution.

Message shapes, over the Jupyter control channel (text over `INLINE_CHARACTERS` is a raw buffer):

- ``rlm_hello`` (host): starts the talk; its sender is who gets the calls.
- ``rlm_call`` (kernel): ``{"floor": id, "calls": [{"id", "kind", "model", "name", "prompt" |
  "buffer"}]}``; ids below ``floor`` are answered and may be forgotten.
- ``rlm_poll`` (kernel): ``{"ids": [...]}``.
- ``rlm_cancel`` (kernel): ``{"ids": [...]}``: nobody waits for these any more.
- ``rlm_reply`` (host): ``{"answers": [{"id", "value" | "buffer", "error"}], "pending": [...],
  "unknown": [...]}``.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

INLINE_CHARACTERS = 4096
"""Longer prompts and answers travel as raw buffers, not as JSON."""

WINDOW = 1024
"""Calls sent and not yet answered."""

BATCH_CALLS = 256
BATCH_CHARACTERS = 4_000_000
"""What one message carries at most (one call of any length always fits)."""

POLL_SECONDS = 5.0
"""After this silence a call is asked after."""

DEADLINE_SECONDS = 60.0
"""After this silence the host is taken to be gone, and the call fails."""


class CallInterruptedError(Exception):
    """The cell that made the call was interrupted."""


@dataclass(slots=True, eq=False)
class _Call:
    id: int
    body: dict[str, Any]
    text: str | None
    future: Future[Any] = field(default_factory=Future)
    heard: float = 0.0


class Bridge:
    """Sends calls and hands out their answers.

    Args:
        send: Sends a message to the host: `send(msg_type, content, buffers)`. Called on the
            control thread only.
        on_control_thread: Schedules a function on the control thread, from any thread.
    """

    def __init__(
        self,
        send: Callable[[str, dict[str, Any], list[bytes]], None],
        on_control_thread: Callable[[Callable[[], None]], None],
    ) -> None:
        self._send = send
        self._on_control_thread = on_control_thread
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._queue: deque[_Call] = deque()
        self._sent: dict[int, _Call] = {}
        self._pump_scheduled = False

    def submit(self, bodies: Iterable[dict[str, Any]]) -> list[Future[Any]]:
        """Queue calls; safe from any thread.

        Args:
            bodies: The calls: `kind`, `model`, `name` and `prompt`.

        Returns:
            Their futures: `(value, error)` each.
        """
        calls = [self._call(body) for body in bodies]
        with self._lock:
            self._queue.extend(calls)
        self._schedule_pump()
        return [call.future for call in calls]

    def abandon(self, futures: Sequence[Future[Any]]) -> None:
        """Tell the host that nobody waits for these any more."""
        gone = {id(future) for future in futures if not future.done()}
        with self._lock:
            self._queue = deque(call for call in self._queue if id(call.future) not in gone)
            ids = [call.id for call in self._sent.values() if id(call.future) in gone]
            for call_id in ids:
                del self._sent[call_id]
        if ids:
            self._on_control_thread(lambda: self._send("rlm_cancel", {"ids": ids}, []))

    def interrupt(self) -> None:
        """Fail every call that is waited for now; called on the control thread."""
        with self._lock:
            calls = [*self._sent.values(), *self._queue]
            ids = list(self._sent)
            self._sent.clear()
            self._queue.clear()
        for call in calls:
            call.future.set_exception(CallInterruptedError("the cell was interrupted"))
        if ids:
            self._send("rlm_cancel", {"ids": ids}, [])

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
            call.future.set_result((value, answer.get("error")))
        with self._lock:
            for call_id in content.get("pending", ()):
                if call_id in self._sent:
                    self._sent[call_id].heard = now
            unknown = [self._sent.pop(i) for i in content.get("unknown", ()) if i in self._sent]
            self._queue.extendleft(reversed(unknown))
        self._pump()

    def poll(self) -> None:
        """Ask after calls that hear nothing; the control thread calls it every few seconds."""
        now = time.monotonic()
        with self._lock:
            silent = [call for call in self._sent.values() if now - call.heard > POLL_SECONDS]
            lost = [call for call in silent if now - call.heard > DEADLINE_SECONDS]
            for call in lost:
                del self._sent[call.id]
        for call in lost:
            call.future.set_result(
                (None, f"the host has not answered for {DEADLINE_SECONDS:.0f} seconds")
            )
        ids = [call.id for call in silent if call not in lost]
        if ids:
            self._send("rlm_poll", {"ids": ids}, [])

    def _call(self, body: dict[str, Any]) -> _Call:
        prompt = body.get("prompt")
        if isinstance(prompt, str) and len(prompt) > INLINE_CHARACTERS:
            body = {key: value for key, value in body.items() if key != "prompt"}
            return _Call(next(self._ids), body, prompt)
        return _Call(next(self._ids), body, None)

    def _schedule_pump(self) -> None:
        with self._lock:
            if self._pump_scheduled:
                return
            self._pump_scheduled = True
        self._on_control_thread(self._pump)

    def _pump(self) -> None:
        """Send what the window allows."""
        while True:
            with self._lock:
                self._pump_scheduled = False
                batch = self._next_batch()
                if not batch:
                    return
                floor = min(self._sent, default=0)
            calls = []
            buffers: list[bytes] = []
            for call in batch:
                entry = {"id": call.id, **call.body}
                if call.text is not None:
                    entry["buffer"] = len(buffers)
                    buffers.append(call.text.encode("utf-8", "replace"))
                calls.append(entry)
            self._send("rlm_call", {"floor": floor, "calls": calls}, buffers)

    def _next_batch(self) -> list[_Call]:
        batch: list[_Call] = []
        characters = 0
        now = time.monotonic()
        while self._queue and len(self._sent) < WINDOW and len(batch) < BATCH_CALLS:
            size = len(self._queue[0].text or "")
            if batch and characters + size > BATCH_CHARACTERS:
                break
            call = self._queue.popleft()
            call.heard = now
            characters += size
            self._sent[call.id] = call
            batch.append(call)
        return batch
