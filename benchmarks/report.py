"""Results as a Markdown table and as JSON."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peers import Peer
    from rows import Line, Sample

    Samples = Mapping[tuple[str, str], Sequence[Sample]]
    """(line key, peer key) -> what was measured, in order."""

_COMPARED = {
    "ours": ("local", "ipython"),
    "dspy": ("local",),
    "docker": ("rlms_docker",),
    "docker_warm": ("rlms_docker",),
}
"""To whom the ratios of a peer are."""

_READING = (
    "Each cell: median (lowest to highest); for ours the ratios to the reference in process / "
    "with its kernel, for dspy the ratio to the reference in process, for containers to the "
    "reference's (below 1 is better, but for runs/s). The LM is a stand-in on loopback, 0 ms "
    "unless said. Every answer is checked: a run with a wrong one has no time. Concurrency is each "
    "library's default. MB are 10^6 bytes. A turn is measured by the LM, from request to request. "
    "The SDK alone is its `chat.completions.create` (streamed for ours) or `dspy.LM` with the very "
    "same chats; ours goes through the SDK's `post`, which costs less, so its turn can be the "
    "cheaper one."
)


def machine() -> dict[str, Any]:
    """Return what a reader needs to know of this machine."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "cpu": model,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_at_start": os.getloadavg()[0],
    }


def markdown(
    facts: Mapping[str, Any],
    tables: Sequence[tuple[Sequence[Peer], Sequence[Line]]],
    samples: Samples,
) -> str:
    """Return the whole report: a table of each group of peers, with its lines."""
    notes: list[str] = []
    shown = [_table(peers, lines, samples, notes) for peers, lines in tables]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    left = {key: count for key, count in facts["left_behind"].items() if count}
    where = (
        f"{facts['date']}, {facts['system']}, {facts['cpus']} CPUs ({facts['cpu']}), "
        f"{facts['memory_gb']} GB, load {facts['load_at_start']:.1f} at the start. {versions}. "
        f"{facts['rounds']} rounds, peers in turn within each."
    )
    numbered = "\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1))
    outlived = f"Processes that outlived their host and had to be killed: {left}." if left else ""
    paragraphs = ["# Benchmarks", where, *shown, _READING, numbered, outlived]
    return "\n\n".join(part for part in paragraphs if part) + "\n"


def _table(peers: Sequence[Peer], lines: Sequence[Line], samples: Samples, notes: list[str]) -> str:
    head = ["work", "target", *(peer.title for peer in peers)]
    table = [head, ["---", "---", *("---" for _ in peers)]]
    for line in lines:
        cells = [_cell(line, peer, peers, samples, notes) for peer in peers]
        target = _in_docker(line) if peers[0].docker else _target(line, line.target)
        table.append([line.title, target, *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def as_json(
    facts: Mapping[str, Any], lines: Sequence[Line], peers: Sequence[Peer], samples: Samples
) -> str:
    """Return everything that was measured."""
    results = {
        line.key: {
            "title": line.title,
            "unit": line.unit,
            "target": {"local": line.target, "docker": line.docker, "warm": line.warm},
            "peers": {
                peer.key: [
                    {"value": one.value, "fault": one.fault, "note": one.note}
                    for one in samples.get((line.key, peer.key), ())
                ]
                for peer in peers
            },
        }
        for line in lines
    }
    return json.dumps({"machine": facts, "results": results}, indent=1) + "\n"


def _good(samples: Sequence[Sample]) -> list[float]:
    return [one.value for one in samples if one.value is not None and one.fault is None]


def _cell(line: Line, peer: Peer, peers: Sequence[Peer], samples: Samples, notes: list[str]) -> str:
    mine = samples.get((line.key, peer.key), ())
    values, faults = _good(mine), [one.fault for one in mine if one.fault]
    seen = [one.note for one in mine if one.note]
    mark = ""
    if faults:
        number = _note(f"{peer.title}: {len(faults)} of {len(mine)} failed: {faults[0]}", notes)
        mark = f" **{len(faults)} of {len(mine)} wrong** [{number}]"
        if not values:
            return f"- [{number}]"
    elif seen:
        mark = f" [{_note(f'{peer.title}: {seen[0]}', notes)}]"
    if not values:
        return "-"
    text = _number(median(values), line.unit)
    if len(values) > 1:
        text += f" ({_number(min(values))} to {_number(max(values))})"
    return text + _ratios(line, peer, peers, samples) + mark


def _note(text: str, notes: list[str]) -> int:
    """Return the number of a note; the lines of a row that fail together share one."""
    if text not in notes:
        notes.append(text)
    return notes.index(text) + 1


def _ratios(line: Line, peer: Peer, peers: Sequence[Peer], samples: Samples) -> str:
    compared = _COMPARED.get(peer.key, ()) if line.compared else ()
    mine = median(_good(samples[line.key, peer.key]))
    shown = []
    for key in compared:
        if key not in {one.key for one in peers}:
            continue
        theirs = _good(samples.get((line.key, key), ()))
        usable = theirs and median(theirs) > 0
        shown.append(f"{mine / median(theirs):.2g}x" if usable else "-")
    return f"; {' / '.join(shown)}" if shown else ""


def _in_docker(line: Line) -> str:
    cold = _target(line, line.docker)
    return cold if line.warm is None else f"{cold}, {line.warm:g} {line.unit} with reuse"


def _target(line: Line, target: float | None) -> str:
    if target is None:
        return ""
    return f"{'>=' if line.higher_is_better else '<='} {target:g} {line.unit}"


def _number(value: float, unit: str = "") -> str:
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
    return f"{text} {unit}".strip()
