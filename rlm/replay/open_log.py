"""Makes the arguments of an `RLM` that replays, resumes or forks a log (`RLM.from_notebook`)."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as replaced
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.backends.base import ModelSpec
from rlm.core.replay_port import NOT_GIVEN
from rlm.errors import ArgumentError, ConfigurationError
from rlm.replay.arguments import recorded_arguments, with_changes
from rlm.replay.plan import ON_MISS, ReplayPlan
from rlm.replay.player import ReplayClient
from rlm.replay.recorded_end import finished_turns
from rlm.run_options import DOOR
from rlm.run_options.spelling import assigned
from rlm.trajectory import TrajectoryError, load
from rlm.trajectory.models_asked import models_before, models_met, settings_of

if TYPE_CHECKING:
    from rlm.core.model_calls import Models
    from rlm.core.recorder import Recorder
    from rlm.events import Message
    from rlm.trajectory import RunNode, Trajectory


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedCompletions(ReplayPlan):
    """The logs that answer the completions of one `RLM` (the `ReplaySource` of the engine)."""

    def replay(self, number: int, models: Models, recorder: Recorder) -> ReplayClient | None:
        """Return what answers one completion; None after the last log, if a model may be asked."""
        logs = len(self.trajectories)
        if number >= logs:
            if self.may_ask:
                return None
            raise ConfigurationError(
                f"This persistent RLM has replayed all of its {logs} logs. To go on with the "
                "model, leave out replay=True."
            )
        plan = self
        if number < logs - 1:
            plan = replaced(self, live_from=None, messages=(), context=NOT_GIVEN)
        return ReplayClient(plan, number, models, recorder)


def reopened_arguments(
    path: str | Path | Trajectory | list[Any] | tuple[Any, ...],
    *,
    context: Any,
    turn: int | None,
    replay: bool,
    on_miss: str | None,
    model: str | None,
    messages: str | list[Message] | None,
    changes: dict[str, Any],
) -> dict[str, Any]:
    """Return the arguments for an `RLM` that replays, resumes or forks a log.

    The parameters are those of `RLM.from_notebook`, which calls this.
    """
    paths = list(path) if isinstance(path, list | tuple) else [path]
    logs = tuple(map(_log, paths))
    if not logs:
        raise ArgumentError("path names no log.")
    root, last = _root(logs[0], paths[0]), _root(logs[-1], paths[-1])
    on_miss = on_miss or ("error" if replay else "live")
    chosen = next((known for known in ON_MISS if known == on_miss), None)
    if chosen is None:
        raise ConfigurationError(f"on_miss must be one of {', '.join(ON_MISS)}, not {on_miss!r}.")
    if replay and (turn is not None or messages is not None):
        raise ArgumentError(
            "A replay takes everything from the log; turn and messages are for a run that goes on "
            "from a turn: leave out replay=True."
        )
    if replay and on_miss != "live" and (model is not None or "backend" in changes):
        raise ArgumentError(
            "A replay asks no model, so it takes no other one. Give the first turn that asks the "
            "model (turn=...), or have the model answer what the log does not (on_miss='live')."
        )
    recorded = recorded_arguments(root, changes)
    asks = not replay or chosen == "live"
    arguments = with_changes(recorded, changes, model, asks=asks)
    edits = {} if not isinstance(paths[-1], str | Path) else _edits(paths[-1])
    live_from = None
    if not replay:
        limit = arguments.get("max_iterations", 30)
        live_from = _first_live_turn(last, turn, edits, limit)
    source = RecordedCompletions(
        trajectories=logs,
        files=tuple(Path(each) if isinstance(each, str | Path) else None for each in paths),
        root=ModelSpec(name=root.started.model, backend=recorded["backend"], backend_kwargs={}),
        subs=_subs(root, recorded),
        on_miss=chosen,
        live_from=live_from,
        messages=_messages(messages),
        edits=edits,
        keep_system_prompt=not {"custom_system_prompt", "orchestrator"} & changes.keys(),
        context=context,
    )
    return {**arguments, "replay": source}


def _log(path: str | Path | Trajectory) -> Trajectory:
    return load(path) if isinstance(path, str | Path) else path


def _root(trajectory: Trajectory, path: object) -> RunNode:
    if trajectory.root is None:
        raise TrajectoryError(f"{path} holds no run: the start of its log is missing.")
    return trajectory.root


def _first_live_turn(
    root: RunNode, turn: int | None, edits: dict[str, str], max_iterations: int
) -> int:
    """Return the first turn that the log does not answer; refuse one that it does not reach."""
    whole = [t.started.number for t in finished_turns(root)]
    answered = root.finished is not None and root.finished.status == "answered"
    # With a higher limit of turns, the turn that demanded the answer is asked anew.
    reach = [number for number in whole if number <= max_iterations]
    if len(reach) == len(whole) - 1 and whole[-1] == max_iterations + 1:
        reach = whole
    last = reach[-1] if reach else 0
    if turn is None:
        edited = _edited_turns(root, edits)
        return min([*(number + 1 for number in edited), last + 1])
    if isinstance(turn, bool) or not isinstance(turn, int):
        raise ArgumentError(f"turn must be a whole number, not {turn!r}.")
    furthest = last if answered else last + 1
    if not 1 <= turn <= max(furthest, 1):
        end = f"the run answered in turn {last}" if answered else f"its last whole turn is {last}"
        raise ConfigurationError(
            f"{assigned('turn', str(turn), DOOR)}: the run can go on from turn 1 to turn "
            f"{max(furthest, 1)}, because {end}."
        )
    return turn


def _edited_turns(root: RunNode, edits: dict[str, str]) -> list[int]:
    return [
        turn.started.number
        for turn in root.turns
        for cell in turn.cells
        if cell.started.id in edits
    ]


def _edits(path: str | Path) -> dict[str, str]:
    """Return the code of the cells that a person edited in a notebook, by the cell's id."""
    if Path(path).suffix.lower() != ".ipynb":
        return {}
    from rlm.formats.notebook.read import read_notebook_file

    return {cell.id: cell.code for cell in read_notebook_file(Path(path)).edited}


def _subs(root: RunNode, recorded: dict[str, Any]) -> tuple[ModelSpec, ...]:
    """Return the models that sub-calls could ask; from an older log, those that they did ask."""
    names = settings_of(root).get("models")
    if not isinstance(names, list) or not names:
        names = [*models_met(root), root.started.model]
    names = [*names, *models_before(root)]
    return tuple(
        ModelSpec(name=name, backend=recorded["backend"], backend_kwargs={})
        for name in dict.fromkeys(map(str, names))
    )


def _messages(messages: str | list[Message] | None) -> tuple[Message, ...]:
    if messages is None:
        return ()
    if isinstance(messages, str):
        return ({"role": "user", "content": messages},)
    if not isinstance(messages, list) or not all(
        isinstance(message, dict) and {"role", "content"} <= message.keys() for message in messages
    ):
        raise ArgumentError(
            'messages must be text, or a list of {"role": ..., "content": ...}, '
            f"not {messages!r:.200}."
        )
    return tuple(messages)
