"""Emits the engine's events: one recorder per tree, and a span for the current node.

A `ContextVar` holds the current node: an event emitted within `with recorder.span()` belongs to
the span's node.
"""

from __future__ import annotations

import itertools
import time
import uuid
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rlm.events import ModelReply, Note
from rlm.trajectory import RunNode, Trajectory
from rlm.usage import UsageSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlm.backends.base import LMReply
    from rlm.events import Event
    from rlm_kernel.context.value import ContextValue


@dataclass(frozen=True, slots=True)
class Span:
    """A node whose end has not been emitted yet.

    Attributes:
        id: The node.
        parent_id: The node above it; None for a root run.
        run_id: The run it belongs to.
    """

    id: str
    parent_id: str | None
    run_id: str


_here: ContextVar[Span | None] = ContextVar("rlm_span", default=None)


def _current() -> Span:
    span = _here.get()
    assert span is not None
    return span


class Recorder:
    """Makes events with ids and times, and gives them to the trajectory and to listeners.

    Attributes:
        trajectory: The record of the tree.
        tree_id: The prefix of all its nodes' ids.
    """

    def __init__(
        self,
        listeners: tuple[Callable[[Event], object], ...] = (),
        on_context: Callable[[str, ContextValue], object] | None = None,
    ) -> None:
        """Start an empty record.

        Args:
            listeners: Called with each event on the engine's loop; they must not block or raise.
            on_context: Called in the same way with the root run's id and its context: events do
                not hold a big context.
        """
        self.trajectory = Trajectory()
        self._listeners = listeners
        self._on_context = on_context
        self.tree_id = uuid.uuid4().hex[:12]
        self._numbers = itertools.count(1)

    @staticmethod
    def begin() -> None:
        """Forget the caller's span: a completion that a tool starts is a separate tree."""
        _here.set(None)

    @staticmethod
    def here() -> Span | None:
        """Return the current node."""
        return _here.get()

    @contextmanager
    def span(self, *, under: Span | None = None, new_run: bool = False) -> Iterator[Span]:
        """Open a node; events emitted inside are about it.

        Args:
            under: The node above; None: the current one.
            new_run: Whether the node is a run.
        """
        above = under or _here.get()
        node_id = self._new_id()
        span = Span(
            node_id,
            above.id if above else None,
            node_id if new_run or above is None else above.run_id,
        )
        token = _here.set(span)
        try:
            yield span
        finally:
            _here.reset(token)

    def emit(self, event: type[Event], /, **fields: Any) -> None:
        """Emit an event about the current node; `fields` are those that its class adds."""
        span = _current()
        self._emit(event, span.id, span.parent_id, span.run_id, fields)

    def emit_child(self, span: Span | None, event: type[Event], /, **fields: Any) -> None:
        """Emit an event that is a node itself, such as an output or a note.

        Args:
            span: The node above; None: the current one.
            event: The event's class.
            fields: The fields that this class adds.
        """
        span = span or _current()
        self._emit(event, self._new_id(), span.id, span.run_id, fields)

    def emit_reply(
        self, reply: LMReply, began: float, purpose: Literal["turn", "compaction"] = "turn"
    ) -> None:
        """Emit the reply to a request that was sent at `began` (`time.perf_counter`)."""
        self.emit(
            ModelReply,
            model=reply.model,
            text=reply.text,
            usage=reply.usage,
            duration=time.perf_counter() - began,
            finish_reason=reply.finish_reason,
            purpose=purpose,
            reasoning=reply.reasoning,
        )

    def note_retry(self, text: str, data: dict[str, Any]) -> None:
        """Note on the current node that a model is asked again."""
        self.emit_child(None, Note, kind="retry", text=text, data=data)

    def listen(self, listener: Callable[[Event], object]) -> None:
        """Call one more listener from now on; call this on the engine's loop."""
        self._listeners = (*self._listeners, listener)

    def give_context(self, value: ContextValue) -> None:
        """Give the root run's context to `on_context`; a child's is the prompt of its call."""
        span, root = _here.get(), self.trajectory.root
        if self._on_context is not None and span and root and span.id == root.started.id:
            self._on_context(span.id, value)

    def usage(self) -> UsageSummary:
        """Return the usage of the current run and all its descendants so far."""
        span = _here.get()
        run = self.trajectory.node(span.run_id) if span else None
        return run.usage if isinstance(run, RunNode) else UsageSummary()

    @property
    def run_id(self) -> str:
        """The id of the current run."""
        return _current().run_id

    def _new_id(self) -> str:
        return f"{self.tree_id}-{next(self._numbers)}"

    def _emit(
        self,
        event: type[Event],
        node_id: str,
        parent_id: str | None,
        run_id: str,
        fields: dict[str, Any],
    ) -> None:
        made = event(id=node_id, parent_id=parent_id, run_id=run_id, time=time.time(), **fields)
        self.trajectory.add(made)
        for listener in self._listeners:
            listener(made)
