"""Answers the calls of one completion from the log of an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlm.core.prompts import SUMMARY_REQUEST
from rlm.core.replay_port import NOT_GIVEN
from rlm.errors import ContextWindowError, ReplayMissError
from rlm.events import Note
from rlm.replay.context import context_of
from rlm.replay.matching import RecordedRuns, cell_numbered, where
from rlm.replay.plan import root_of
from rlm.replay.recorded_end import recorded_end, was_cancelled
from rlm.replay.replies import PendingReply, RecordedReply
from rlm.trajectory import CellNode, RunNode, SubCallNode, TurnNode
from rlm.trajectory.comparison import compare_outputs, masked_value
from rlm_kernel.recorded_calls import difference, prompt_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rlm.backends.base import LMClient, ModelSpec
    from rlm.context import ContextInfo
    from rlm.core.model_calls import Models
    from rlm.core.recorder import Recorder
    from rlm.events import Message, ModelReply
    from rlm.replay.plan import ReplayPlan
    from rlm.trajectory import Node
    from rlm_kernel.recorded_calls import RecordedCall

_ADVICE = (
    "on_miss='live' asks the model instead, on_miss='nearest' takes the reply to the most similar "
    "prompt."
)
_SHOWN_DIFFERENCES = 3

_LIMIT_PATIENCE = 2.0
"""Seconds that a call waits for the limit that cancelled it when it was recorded."""


class ReplayClient:
    """Answers a tree's calls from a log in place of the models, for one completion.

    It replaces the clients of `models` and, up to the first live turn, the models themselves.
    """

    def __init__(self, plan: ReplayPlan, number: int, models: Models, recorder: Recorder) -> None:
        self._plan = plan
        self._log = plan.files[number]
        self._root = root_of(plan.trajectories[number])
        self._models = models
        self._root_model, self._sub_models = models.root, models.subs
        self._clients = models.clients
        self._recorder = recorder
        self._record = recorder.trajectory
        self._runs = RecordedRuns(self._root, recorder.trajectory)
        self._replies: dict[str, list[ModelReply]] = {}
        self._played: set[str] = set()
        self._live = plan.live_from == 1
        models.clients = self
        if not self._live:
            models.root, models.subs = plan.root, plan.subs

    @property
    def question(self) -> str | None:
        """The recorded run's `root_prompt`."""
        return self._root.started.root_prompt

    def context(self, given: Any) -> tuple[Any, ContextInfo]:
        """Return the recorded context, from the log or as given, and its description."""
        given = self._plan.context if given is NOT_GIVEN else given
        return context_of(self._root, given, self._log)

    @property
    def _caches(self) -> bool:
        """Whether the log is only a cache, so that calls that failed in it are repeated."""
        return self._plan.strict and self._plan.on_miss == "live"

    # In place of the tree's clients

    def prepare(self, spec: ModelSpec) -> None:
        """Start making the client for the live turns, if there will be any."""
        if self._plan.live_from is not None:
            self._clients.prepare(self._live_model(spec))

    async def get(self, spec: ModelSpec, messages: Sequence[Message]) -> LMClient:
        """Return the client that answers the current call: a recorded reply, or a model's."""
        if self._live:
            return await self._clients.get(spec, messages)
        node, answer = self._node_here(), None
        if isinstance(node, SubCallNode):
            answer = self._sub_call(node)
        elif isinstance(node, TurnNode):
            answer = self._turn(node, messages)
        return answer or await self._clients.get(self._live_model(spec), messages)

    # The rest of `core.replay_port`

    def system_prompt(self) -> str | None:
        """Return the recorded system prompt of the run that starts here."""
        if not self._plan.keep_system_prompt:
            return None
        run = self._recorded_run_here()
        messages = run.turns[0].messages if run is not None and run.turns else []
        first = messages[0] if messages else {}
        content = first.get("content") if first.get("role") == "system" else None
        return content if isinstance(content, str) else None

    def begin_turn(self, number: int, spec: ModelSpec) -> tuple[ModelSpec, tuple[Message, ...]]:
        """Return the model that a turn of the current run asks, and the messages to add first."""
        span = self._recorder.here()
        if span is None or span.parent_id is not None:
            return spec, ()
        if number == self._plan.live_from:
            self._live = True
            self._models.root, self._models.subs = self._root_model, self._sub_models
            return self._root_model, self._plan.messages
        return (self._root_model if self._live else self._plan.root), ()

    def code(self, number: int) -> str | None:
        """Return the recorded or edited code of the turn's cell; None for the reply's own code."""
        node = self._node_here()
        if not isinstance(node, TurnNode) or node.started.id not in self._played:
            return None
        turn = self._runs.turn(node)
        cell = None if turn is None else cell_numbered(turn, number)
        return None if cell is None else self._plan.edits.get(cell.started.id, cell.started.code)

    def compare_cell(self) -> None:
        """Emit a note if the output of the current cell differs from the recorded one."""
        node = self._node_here()
        if not isinstance(node, CellNode) or node.started.parent_id not in self._played:
            return
        recorded = self._runs.cell(node)
        if recorded is None or recorded.finished is None or node.finished is None:
            return
        if recorded.started.id in self._plan.edits:
            return
        found = list(compare_outputs(recorded.outputs, node.outputs))
        if node.finished.status != recorded.finished.status:
            found.insert(0, f"status: {recorded.finished.status!r} / {node.finished.status!r}")
        if found:
            self._recorder.emit_child(
                None,
                Note,
                kind="warning",
                text=f"{where(node, self._record).capitalize()} gave other output than recorded: "
                f"{found[0]}",
                data={"replay": "output", "differences": found[:_SHOWN_DIFFERENCES]},
            )

    async def tool(self, call: Callable[[], Awaitable[Any]]) -> tuple[Any, str | None]:
        """Return a tool's recorded value and error; await `call` if the tool may be called."""
        node = self._node_here()
        match = self._match(node) if isinstance(node, SubCallNode) and not self._live else None
        if match is None or node is None:
            return await call(), None
        finished = match.outcome.finished
        if self._asks_again(match.outcome):
            return await call(), None
        if finished is None or was_cancelled(match.outcome):
            raise self._missing(node, "the log has the call, but not its result")
        return finished.response, finished.error

    # Matching

    def _sub_call(self, node: SubCallNode) -> LMClient | None:
        match = self._match(node)
        if match is None:
            return None
        recorded: SubCallNode = match.outcome
        if self._asks_again(recorded):
            return None
        if recorded.finished is None or was_cancelled(recorded):
            if self._cell_went_on(recorded):
                return PendingReply(None)
            if self._root.finished is not None and self._root.finished.status == "limit":
                return PendingReply(_LIMIT_PATIENCE)
            if self._plan.on_miss == "live":
                return None
            raise self._missing(
                node, "the log has the call, but it was stopped before the reply came"
            )
        return RecordedReply.of_call(recorded)

    def _match(self, node: SubCallNode) -> RecordedCall | None:
        """Return the recorded call that answers a sub-call; None if a model answers it."""
        match = self._runs.match(node)
        if match is not None:
            return match
        started, beside = node.started, self._runs.calls_beside(node)
        if self._plan.on_miss == "live":
            match = self._runs.everywhere().take(started.kind, started.model, started.prompt)
        elif self._plan.on_miss == "nearest":
            calls = (beside, self._runs.everywhere())
            near = (c.nearest(started.kind, started.prompt) for c in calls if c is not None)
            match = next((found[0] for found in near if found is not None), None)
        if match is not None:
            self._runs.use(node, match)
            return match
        if self._plan.on_miss == "live":
            return None
        calls_there = beside or self._runs.everywhere()
        raise self._missing(node, calls_there.why_not(started.kind, started.model, started.prompt))

    def _turn(self, node: TurnNode, messages: Sequence[Message]) -> LMClient | None:
        """Return the recorded reply to a turn; None if the model is to be asked."""
        live = self._record.node(node.started.run_id)
        run = self._runs.run(live) if isinstance(live, RunNode) else None
        if run is None and isinstance(live, RunNode):
            above = self._record.node(live.started.parent_id or "")
            match = self._match(above) if isinstance(above, SubCallNode) else None
            if match is None:
                return None
            run = match.outcome.child
        turn = self._runs.turn(node)
        if run is None or turn is None:
            return self._after_the_end(node, run)
        problem = self._prompt_changed(run, turn, messages)
        if problem is not None and self._plan.on_miss == "live":
            return None
        if problem is not None and self._plan.on_miss == "error":
            raise self._missing(node, problem)
        replies = self._replies.setdefault(node.started.id, list(turn.replies))
        wanted = "compaction" if messages[-1].get("content") == SUMMARY_REQUEST else "turn"
        if wanted == "turn" and replies and replies[0].purpose == "compaction":
            raise ContextWindowError("The prompt was too long when the run was recorded.")
        reply = next((r for r in replies if r.purpose == wanted), None)
        if reply is None:
            return self._after_the_end(node, run)
        replies.remove(reply)
        self._played.add(node.started.id)
        return RecordedReply.of_turn(reply)

    def _after_the_end(self, node: TurnNode, run: RunNode | None) -> LMClient | None:
        """Raise the error that ended the recorded run; without one, ask the model or miss."""
        end = recorded_end(run) if run is not None else None
        if end is not None and not self._caches:
            raise end
        if self._plan.on_miss == "live":
            return None
        raise self._missing(
            node,
            "the log ends before this reply. To go on with the model, leave out replay=True",
        )

    def _prompt_changed(
        self, run: RunNode, turn: TurnNode, messages: Sequence[Message]
    ) -> str | None:
        """Return how a prompt differs from the recorded one; None if it does not.

        Compares only the messages before the first turn: then follow the log's own replies, and
        outputs that `compare_cell` compares. If the log is a cache, all messages must be equal.
        """
        if not self._plan.strict or messages[-1].get("content") == SUMMARY_REQUEST:
            return None
        recorded, now = turn.messages, list(messages)
        if not self._caches:
            opening = max(len(run.turns[0].messages) - 1, 1)
            recorded, now = recorded[:opening], now[:opening]
        for one, two in zip(recorded, now, strict=False):
            if masked_value(one) != masked_value(two):
                return _difference(one, two)
        return (
            None if len(recorded) == len(now) else "its prompt has a different number of messages"
        )

    def _asks_again(self, recorded: SubCallNode) -> bool:
        """Whether to repeat this call, because it failed or was stopped."""
        return self._caches and (recorded.finished is None or recorded.finished.error is not None)

    def _cell_went_on(self, recorded: SubCallNode) -> bool:
        """Whether the call was cancelled by its own cell, or by the cell's time limit."""
        cells = (cell for run in self._root.walk() for cell in run.cells)
        place = next((c for c in cells if c.started.id == recorded.started.parent_id), None)
        status = place.finished.status if place is not None and place.finished else None
        return status in {"ok", "error", "timeout"}

    def _recorded_run_here(self) -> RunNode | None:
        """Return the recorded run that matches the one that starts here."""
        if self._recorder.here() is None:
            return self._root
        node = self._node_here()
        if self._live or not isinstance(node, SubCallNode):
            return None
        match = self._runs.match(node)
        child: RunNode | None = match.outcome.child if match is not None else None
        return child

    def _live_model(self, spec: ModelSpec) -> ModelSpec:
        """Return the model to ask in place of a recorded one."""
        if spec is self._plan.root:
            return self._root_model
        named = (sub for sub in self._sub_models if sub.name == spec.name)
        return next(named, self._sub_models[0])

    def _node_here(self) -> Node | None:
        span = self._recorder.here()
        return None if span is None else self._record.node(span.id)

    def _missing(self, node: Node, why: str) -> ReplayMissError:
        asked = node.name if isinstance(node, SubCallNode) else "the model's next reply"
        place = where(node, self._record)
        return ReplayMissError(
            f"{place.capitalize()}: {asked} is not in the log: {why}.\n{_ADVICE}"
        )


def _difference(recorded: Message, now: Message) -> str:
    one, two = prompt_text(recorded.get("content")), prompt_text(now.get("content"))
    return f"the {now.get('role')}'s message differs:\n{difference(one, two)}"
