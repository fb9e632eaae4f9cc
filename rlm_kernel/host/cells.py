"""A cell while it runs, and its result."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Literal

from rlm_kernel.host.outputs import CellOutputs
from rlm_kernel.host.timeouts import IDLE_SECONDS

CellStatus = Literal["ok", "error", "interrupted", "timeout", "died"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """The result of a cell.

    Attributes:
        status: ``"died"`` means the kernel; ``"timeout"`` that the cell ran over its time.
        execution_count: Jupyter's counter; None when the kernel was lost.
        outputs: Notebook outputs (nbformat 4).
        answer: The final answer, once `answer["ready"]` is true (or `FINAL` was called).
        draft: The answer's content so far.
        variables: The model's variables: name to `{"type", "preview"}`.
        error: One line on what went wrong; None for nothing.
        dropped: Characters of output that were cut off.
        duration: Seconds.
        restarted: Whether the kernel was lost, so that `Session.restart` has to start another.
    """

    status: CellStatus
    execution_count: int | None = None
    outputs: tuple[dict[str, Any], ...] = ()
    answer: str | None = None
    draft: str = ""
    variables: dict[str, dict[str, str]]
    error: str | None = None
    dropped: int = 0
    duration: float
    restarted: bool = False


MAX_ERROR = 10_000
"""Characters of a cell's error line."""


class RunningCell:
    """A running cell and its outputs so far."""

    def __init__(self, outputs: CellOutputs) -> None:
        loop = asyncio.get_running_loop()
        self.outputs = outputs
        self.reply: asyncio.Future[dict[str, Any]] = loop.create_future()
        self.idle = asyncio.Event()
        self.started = time.monotonic()
        self.stopped_for: CellStatus | None = None
        self.killed = False
        self._waits_for_reply = False

    def published_idle(self) -> None:
        """Mark the kernel as idle; after `IDLE_SECONDS` more the reply counts as lost."""
        self.idle.set()
        if not self._waits_for_reply and not self.reply.done():
            self._waits_for_reply = True
            timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.give_up)
            self.reply.add_done_callback(lambda _: timer.cancel())

    def give_up(self) -> None:
        """Give the cell a reply in place of the lost one."""
        if not self.reply.done():
            content = {"status": "error", "ename": "KeyboardInterrupt", "evalue": ""}
            self.reply.set_result({"content": content, "metadata": {}})

    def result(self, *, lost: bool, exit_reason: str) -> CellResult:
        """Return the cell's result."""
        duration = time.monotonic() - self.started
        if not self.reply.done():
            return CellResult(
                status=self.stopped_for or "died",
                outputs=self.outputs.collected(),
                variables={},
                error=_stop_text(self.stopped_for) if self.stopped_for else exit_reason,
                duration=duration,
                restarted=lost or self.killed,
            )
        content = self.reply.result()["content"]
        did = self.reply.result()["metadata"].get("rlm")
        did = did if isinstance(did, dict) else {}
        status, error = self._status(content)
        return CellResult(
            status=status,
            execution_count=_whole(content.get("execution_count")),
            outputs=self.outputs.collected(),
            answer=_text(did.get("answer")),
            draft=_text(did.get("draft")) or "",
            variables=_variables(did.get("variables")),
            error=error,
            dropped=_whole(did.get("dropped")) or 0,
            duration=duration,
            restarted=self.killed,
        )

    def _status(self, content: dict[str, Any]) -> tuple[CellStatus, str | None]:
        if self.stopped_for is not None:  # even if the code swallowed the interrupt (`!command`)
            return self.stopped_for, _stop_text(self.stopped_for)
        if content.get("status") == "ok":
            return "ok", None
        error = f"{content.get('ename')}: {content.get('evalue')}"[:MAX_ERROR]
        interrupted = content.get("ename") in ("KeyboardInterrupt", "CancelledError")
        return ("interrupted" if interrupted else "error"), error


def _stop_text(why: CellStatus) -> str:
    if why == "timeout":
        return "TimeoutError: the cell ran over its time and was stopped."
    return "KeyboardInterrupt: the cell was stopped."


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _variables(value: Any) -> dict[str, dict[str, str]]:
    """Return a reply's variables, checked and cut: they come from a sandbox."""
    if not isinstance(value, dict):
        return {}
    found = {}
    for name, about in list(value.items())[:1000]:
        if isinstance(about, dict):
            kind, preview = about.get("type"), about.get("preview")
            found[str(name)[:200]] = {"type": str(kind)[:200], "preview": str(preview)[:500]}
    return found
