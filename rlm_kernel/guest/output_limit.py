"""Bounds what one cell may write, in the thread that writes.

Without a bound, 200 MB of output cost a gigabyte of memory in the kernel and on the host. The text
is cut here, before it is buffered. The kernel reports the cut to the host, which counts as well.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ipykernel.iostream import OutStream
from jupyter_client.session import Session
from traitlets import Any as AnyTrait

from rlm_kernel.protocol import packing

if TYPE_CHECKING:
    from collections.abc import Callable

_MESSAGE_COST = 200
"""Characters that every message counts for: this bounds a flood of empty ones too."""


class OutputMeter:
    """Counts the characters a cell writes.

    Args:
        limit: Characters a cell may write; None bounds nothing.
        on_crossed: Called with the number of characters dropped when the limit is exceeded and each
            time that number has grown tenfold.
    """

    def __init__(self, limit: int | None, on_crossed: Callable[[int], None]) -> None:
        self.limit = limit
        self.dropped = 0
        self._left = limit or 0
        self._report_at = 1
        self._on_crossed = on_crossed
        self._lock = threading.RLock()  # a signal handler may print as well

    def start_cell(self) -> None:
        """Start counting from zero."""
        with self._lock:
            self._left = self.limit or 0
            self.dropped = 0
            self._report_at = 1

    def take(self, characters: int) -> int:
        """Count characters, and return how many of them may be written."""
        if self.limit is None:
            return characters
        with self._lock:
            allowed = min(characters, self._left)
            self._left -= allowed
            self.dropped += characters - allowed
            report = self.dropped >= self._report_at
            if report:
                self._report_at = self.dropped * 10
        if report:
            self._on_crossed(self.dropped)
        return allowed


class BoundedOutStream(OutStream):
    """`sys.stdout` and `sys.stderr` of a kernel, bounded by its meter.

    Attributes:
        meter: Set by the kernel when it has started; until then nothing is bounded.
    """

    meter: OutputMeter | None = None

    def write(self, string: str) -> int:
        """Write what fits; return the full length, as if all was written."""
        if self.meter is None or not isinstance(string, str):
            super().write(string)
        else:
            allowed = self.meter.take(len(string))
            if allowed:
                super().write(string if allowed == len(string) else string[:allowed])
        return len(string)


class BoundedSession(Session):
    """A kernel's `Session` whose results, displays and tracebacks are bounded by the meter.

    `BoundedOutStream` bounds streams where they are written.
    """

    meter: Any = AnyTrait(None, allow_none=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pack = packing.pack

    def send(
        self, stream: Any, msg_or_type: Any, content: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Send a message, cut to what the cell may still write."""
        if self.meter is not None:
            if isinstance(msg_or_type, dict):
                kind, body = msg_or_type.get("msg_type", ""), msg_or_type["content"]
            else:
                kind, body = msg_or_type, content or {}
            if kind in {"execute_result", "display_data", "update_display_data"}:
                self._bound_bundle(body)
            elif kind == "error":
                body["evalue"] = self._bound_text(body["evalue"])
                body["traceback"] = [self._bound_text(line) for line in body["traceback"]]
            elif kind.startswith("comm_") and not self.meter.take(_MESSAGE_COST):
                return None
        return super().send(stream, msg_or_type, content, *args, **kwargs)

    def _bound_text(self, text: str) -> str:
        allowed = self.meter.take(len(text) + _MESSAGE_COST) - _MESSAGE_COST
        return (
            text if allowed >= len(text) else text[: max(allowed, 0)] + cut_mark(len(text), allowed)
        )

    def _bound_bundle(self, body: dict[str, Any]) -> None:
        """Cut the plain text of a mime bundle; leave out other types that do not fit."""
        data = {}
        for mime, value in body["data"].items():
            if mime == "text/plain" and isinstance(value, str):
                data[mime] = self._bound_text(value)
            elif self._fits(mime, value):
                data[mime] = value
            elif mime == "text/html":
                data[mime] = "[left out: output limit]"
        body["data"] = data
        if not self._fits(body.get("metadata")):
            body["metadata"] = {}

    def _fits(self, *values: Any) -> bool:
        size = sum(len(v if isinstance(v, str) else repr(v)) for v in values) + _MESSAGE_COST
        return bool(self.meter.take(size) == size)


def cut_mark(total: int, shown: int) -> str:
    """Return the mark that stands for the characters left out."""
    return f"... + [{total - max(shown, 0):,} chars...]"
