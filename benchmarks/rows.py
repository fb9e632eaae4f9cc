"""The rows of the table: what is done, how it is measured, what is aimed at."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
from lab import Failure, TreeMemory
from work import Context, Task, parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab import Lab
    from peers import Peer

TURNS = 21
"""Turns of the run that prices a turn."""

_ONE = Task(kind="one")
_MB, _GB = 10**6, 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measurement of one line.

    Attributes:
        value: In the line's unit; None if it could not be done.
        fault: Why the value does not count, such as a wrong answer.
        note: What else was seen; the value counts.
    """

    value: float | None = None
    fault: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table.

    Attributes:
        key: Its name in the results.
        title: What was done.
        unit: ``"s"``, ``"ms"``, ``"MB"`` or ``"runs/s"``.
        target: What our median shall reach; None where nothing is aimed at.
        docker: The same in containers.
        warm: The same in containers that are kept between runs; None if it is no other.
        compared: Whether a ratio says something: not of differences, which may be near zero.
    """

    key: str
    title: str
    unit: str = "s"
    target: float | None = None
    docker: float | None = None
    warm: float | None = None
    compared: bool = True

    @property
    def higher_is_better(self) -> bool:
        """Rates; all else is time or memory."""
        return self.unit == "runs/s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one measurement yields.

    Attributes:
        key: Its name on the command line.
        lines: What it yields, by line.
        measure: Measures one peer once.
        rounds: The most rounds worth their time.
        extra: Whether it runs only when it is asked for.
        docker: Whether it is one of containers: only (True), also (None), or not (False).
    """

    key: str
    lines: tuple[Line, ...]
    measure: Callable[[Lab, Peer], dict[str, Sample]]
    rounds: int = 100
    extra: bool = False
    docker: bool | None = None


def _checked(value: float, faults: Iterable[str | None]) -> Sample:
    found = [fault for fault in faults if fault]
    return Sample(value=value, fault=found[0] if found else None)


def _job(task: Task, context: Context, url: str, **more: Any) -> dict[str, Any]:
    return {"task": asdict(task), "context": asdict(context), "url": url, **more}


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def _import(lab: Lab, peer: Peer) -> dict[str, Sample]:
    with lab.fresh(peer) as process:
        reply = process.ask({"do": "import"})
    seen = f"it imports {', '.join(reply['sdks'])}" if reply["sdks"] else None
    # Only ours promises to import none.
    fault = seen if peer.key == "ours" else None
    return {"import": Sample(value=reply["seconds"], fault=fault, note=seen)}


def _cold(lab: Lab, peer: Peer) -> dict[str, Sample]:
    """Start a container and what runs the code in it, in a process that has done nothing yet."""
    with lab.fresh(peer) as process:
        process.ask({"do": "import"})
        return {"cold": Sample(value=process.ask({"do": "cold"})["seconds"])}


def _first(lab: Lab, peer: Peer) -> dict[str, Sample]:
    context = Context()
    begun = time.perf_counter()
    with lab.fresh(peer) as process:
        reply = process.ask({"do": "complete", **_job(_ONE, context, lab.fast)})
        seconds = time.perf_counter() - begun
    return {"first": _checked(seconds, [_ONE.fault(reply["answers"][0], context)])}


def _later(lab: Lab, peer: Peer) -> dict[str, Sample]:
    context = Context(label="later")
    command = {"do": "complete", **_job(_ONE, context, lab.fast, repeat=3)}
    reply = lab.worker(peer).ask(command)
    faults = [_ONE.fault(answer, context) for answer in reply["answers"]]
    return {"later": _checked(_median(reply["seconds"]), faults)}


def _turns(lab: Lab, peer: Peer, *, key: str, size: int) -> dict[str, Sample]:
    """Price a turn as the LM sees it: from one request to the next, and the SDK's share in it.

    Not as the difference of a long and a short completion: the reference waits up to half a second
    for its own server to stop, which hides its turns.
    """
    context, task = Context(label=key, size=size), Task(kind="turns", count=TURNS)
    process = lab.worker(peer)
    lab.record(task.query)
    reply = process.ask({"do": "complete", **_job(task, context, lab.fast)})
    chats, times = lab.recorded()
    faults = [task.fault(reply["answers"][0], context)]
    if len(chats) != TURNS:
        faults.append(f"{len(chats)} LM calls for {TURNS} turns")
        return {key: _checked(0.0, faults)}
    lab.record(task.query)
    process.ask({"do": "sdk_chats", "url": lab.fast, "chats": chats})
    again, alone = lab.recorded()
    if again != chats:
        faults.append("the SDK alone did not send the same chats")
    turn = (times[-1] - times[0]) / (TURNS - 1)
    sdk = (alone[-1] - alone[0]) / (TURNS - 1)
    return {
        key: _checked(turn * 1e3, faults),
        f"{key}_sdk": _checked(sdk * 1e3, faults),
        f"{key}_above_sdk": _checked((turn - sdk) * 1e3, faults),
    }


def _task(lab: Lab, peer: Peer, *, key: str, task: Task, **options: Any) -> dict[str, Sample]:
    """Time a whole completion: of a long-lived worker, at the LM latency of the task's kind."""
    context = Context(label=task.kind)
    url = lab.slow if task.kind in {"batched", "children"} else lab.fast
    if options and peer.key == "dspy":
        raise Failure("it has no such option")
    command = {"do": "complete", **_job(task, context, url, options=options)}
    reply = lab.worker(peer).ask(command)
    answer = reply["answers"][0]
    samples = {key: _checked(reply["seconds"][0], [task.fault(answer, context)])}
    inside = parsed(answer).get("seconds")
    if isinstance(inside, float):
        samples[f"{key}_in_cell"] = _checked(inside, [task.fault(answer, context)])
    return samples


def _batched(lab: Lab, peer: Peer) -> dict[str, Sample]:
    task = Task(kind="batched", count=200)
    samples = _task(lab, peer, key="batched", task=task)
    prompts = [f"ECHO {k}" for k in range(task.count)]
    width = {"local": 16, "ipython": 16, "dspy": 8}.get(peer.key, 64)
    command = {"do": "sdk_batch", "url": lab.slow, "prompts": prompts, "width": width}
    alone = lab.worker(peer).ask(command)["seconds"][0]
    return {**samples, "batched_sdk": Sample(value=alone)}


def _parallel(lab: Lab, peer: Peer) -> dict[str, Sample]:
    """Run 16 completions in threads, in a process of their own: some break it for good."""
    task, runs = Task(kind="turns", count=5), 16
    contexts = [Context(label=f"run{k}", size=1024 + 128 * k) for k in range(runs)]
    with lab.fresh(peer) as process:
        process.ask({"do": "complete", **_job(_ONE, Context(), lab.fast)})
        job = {"task": asdict(task), "contexts": [asdict(one) for one in contexts]}
        reply = process.ask({"do": "parallel", "url": lab.fast, **job})
    found = [task.fault(a, c) for a, c in zip(reply["answers"], contexts, strict=True)]
    wrong = [fault for fault in found if fault]
    faults = [f"{len(wrong)} of {runs} runs wrong ({wrong[0]})"] if wrong else []
    note = "it changed the working directory of the whole process" if reply["moved"] else None
    fault = faults[0] if faults else None
    return {"parallel": Sample(value=runs / reply["seconds"], fault=fault, note=note)}


def _big(lab: Lab, peer: Peer, *, key: str, size: int, label: str = "big") -> dict[str, Sample]:
    """Complete one turn over a big context in a fresh process, and watch its memory."""
    context = Context(label=label, size=size - size % 128)
    needed = 12 * size
    if psutil.virtual_memory().available < needed:
        raise Failure(f"not tried: less than {needed / _GB:.0f} GB of memory free")
    with lab.fresh(peer) as process, TreeMemory(process.pid) as tree:
        reply = process.ask({"do": "memory", **_job(_ONE, context, lab.fast)})
    faults = [_ONE.fault(reply["answers"][0], context)]
    return {
        key: _checked(reply["seconds"][0], faults),
        f"{key}_host": _checked(reply["added"] / _MB, faults),
        f"{key}_tree": _checked(tree.peak / _MB, faults),
    }


def _turn_row(key: str, title: str, size: int) -> Row:
    lines = (
        Line(key=key, title=f"each further turn, {title}", unit="ms"),
        Line(key=f"{key}_sdk", title="- the SDK alone, with these chats", unit="ms"),
        Line(
            key=f"{key}_above_sdk",
            title="- above the SDK alone",
            unit="ms",
            target=6,
            docker=10,
            compared=False,
        ),
    )
    return Row(key=key, lines=lines, measure=partial(_turns, key=key, size=size))


def _task_row(
    key: str,
    title: str,
    task: Task,
    target: float | None,
    docker: float | None = None,
    warm: float | None = None,
    **options: Any,
) -> Row:
    lines = [Line(key=key, title=title, target=target, docker=docker, warm=warm)]
    if task.kind in {"row", "children"}:
        lines.append(Line(key=f"{key}_in_cell", title="- of it inside the cell"))
    measure = partial(_task, key=key, task=task, **options)
    return Row(key=key, lines=tuple(lines), measure=measure, extra=bool(options))


def _big_row(
    key: str,
    title: str,
    size: int,
    targets: tuple[float | None, float | None],
    in_docker: tuple[float | None, float | None] = (None, None),
    **more: Any,
) -> Row:
    host = "- host memory added"
    lines = (
        Line(key=key, title=f"{title}, one turn", target=targets[0], docker=in_docker[0]),
        Line(key=f"{key}_host", title=host, unit="MB", target=targets[1], docker=in_docker[1]),
        Line(key=f"{key}_tree", title="- peak, all processes", unit="MB"),
    )
    label = more.pop("label", "big")
    return Row(key=key, lines=lines, measure=partial(_big, key=key, size=size, label=label), **more)


_BATCHED = (
    Line(key="batched", title="200 `llm_query_batched`, LM 50 ms", target=0.75),
    Line(key="batched_in_cell", title="- of it inside the cell"),
    Line(key="batched_sdk", title="- the SDK alone, as many at once"),
)
_CHILDREN = Task(kind="children", count=16)

ROWS = (
    Row(
        key="import",
        lines=(Line(key="import", title="import", target=0.3),),
        measure=_import,
        docker=False,
    ),
    Row(
        key="cold",
        lines=(Line(key="cold", title="cold: container and kernel ready", docker=1.0),),
        measure=_cold,
        docker=True,
    ),
    Row(
        key="first",
        lines=(Line(key="first", title="first completion, fresh process", target=1.3),),
        measure=_first,
    ),
    Row(
        key="later",
        lines=(Line(key="later", title="a later completion, 1 turn", target=0.12),),
        measure=_later,
    ),
    _turn_row("turn", "small context", 1024),
    _turn_row("turn10mb", "10 MB context", 10 * _MB),
    _task_row("row", "200 `llm_query` in a row", Task(kind="row", count=200), 0.9, 1.2),
    Row(key="batched", lines=_BATCHED, measure=_batched),
    _task_row("children", "16 children with a REPL, LM 50 ms", _CHILDREN, 1.2, 2.0),
    _task_row(
        "children16",
        "16 children, 16 at once for all",
        _CHILDREN,
        None,
        max_concurrent_subcalls=16,
    ),
    _task_row("nest", "3 levels of `rlm_query`", Task(kind="nest", count=3), 0.5, 1.2, 0.5),
    Row(
        key="parallel",
        lines=(
            Line(
                key="parallel",
                title="16 runs of 5 turns at once",
                unit="runs/s",
                target=14,
                docker=4,
            ),
        ),
        measure=_parallel,
    ),
    _big_row("100mb", "100 MB str context", 100 * _MB, (0.8, 40), (2.5, 60), rounds=3),
    # Characters beyond Latin-1 take two bytes each in memory and three in UTF-8.
    _big_row(
        "100mb_wide",
        "str context of 10^8 wide characters",
        100 * _MB,
        (None, None),
        label="→",
        extra=True,
    ),
    _big_row("1gb", "1 GB str context", _GB, (4, 100), rounds=3, docker=False),
)
