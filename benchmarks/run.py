"""Measure ours against the reference and dspy: `python benchmarks/run.py` (see --help)."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import report
from lab import Failure, Lab
from peers import HERE, PEERS, Peer, before, engine_answers, prepare, prepare_images
from rows import ROWS, Row, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATIENCE = 2
"""A peer that fails so often in a row of the table is spared its other rounds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 unless one of our own answers was wrong or missing."""
    options = _options(arguments)
    peers = [peer for peer in PEERS if peer.key in options.peers]
    if options.before is not None:
        asked = {f"before_{key}" for key in options.peers}
        peers += [peer for peer in before(options.before) if peer.key in asked]
    if any(peer.docker for peer in peers) and not engine_answers():
        print("No Docker engine answers: containers are not measured.", file=sys.stderr)
        peers = [peer for peer in peers if not peer.docker]
    groups = [[peer for peer in peers if peer.docker == docker] for docker in (False, True)]
    rows = [row for row in ROWS if row.key in options.rows]
    for peer in peers:
        prepare(peer)
    if groups[1]:
        prepare_images(peers)
    # So that what was started is stopped, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    facts: dict[str, Any] = report.machine() | {"rounds": options.rounds, "versions": {}}
    samples: defaultdict[tuple[str, str], list[Sample]] = defaultdict(list)
    with Lab() as lab:
        for peer in list(peers):
            facts["versions"] |= _versions(lab, peer)
        for index, row in enumerate(rows):
            for docker, group in enumerate(groups):
                if group and row.docker in (None, bool(docker)):
                    _measure(lab, row, group, min(options.rounds, row.rounds), index, samples)
    facts["left_behind"] = lab.left
    tables = [
        (group, [line for row in rows if row.docker in (None, bool(docker)) for line in row.lines])
        for docker, group in enumerate(groups)
        if group
    ]
    text = report.markdown(facts, tables, samples)
    print(text)
    if options.save:
        lines = [line for row in rows for line in row.lines]
        (HERE / "results.md").write_text(text)
        (HERE / "results.json").write_text(report.as_json(facts, lines, peers, samples))
    ours = {peer.key for peer in peers if peer.ours}
    mine = [one for (_, key), many in samples.items() if key in ours for one in many]
    return 1 if any(one.fault for one in mine) else 0


def _measure(
    lab: Lab,
    row: Row,
    peers: Sequence[Peer],
    rounds: int,
    first: int,
    samples: defaultdict[tuple[str, str], list[Sample]],
) -> None:
    """Measure a row round by round, every peer in each round, each round another one first.

    A virtual machine gets its memory when it first touches it: whoever is first pays for all.
    """
    failures: defaultdict[str, int] = defaultdict(int)
    for number in range(rounds):
        shift = (first + number) % len(peers)
        for peer in [*peers[shift:], *peers[:shift]]:
            if failures[peer.key] >= _PATIENCE:
                continue
            begun = time.monotonic()
            try:
                measured = row.measure(lab, peer)
            except Failure as failure:
                failures[peer.key] += 1
                measured = {line.key: Sample(fault=str(failure)) for line in row.lines}
            for line in row.lines:
                if line.key in measured:
                    samples[line.key, peer.key].append(measured[line.key])
            print(_progress(row, peer, number, measured, begun), file=sys.stderr)


def _progress(row: Row, peer: Peer, number: int, measured: dict[str, Sample], begun: float) -> str:
    one = measured[row.lines[0].key]
    value = "-" if one.value is None else f"{one.value:.4g} {row.lines[0].unit}"
    took = time.monotonic() - begun
    return f"{row.key} {number + 1} {peer.key}: {value} {one.fault or ''} [{took:.1f} s]"


def _versions(lab: Lab, peer: Peer) -> dict[str, str]:
    """Ask a peer's own environment; this first import also writes its byte code."""
    try:
        with lab.fresh(peer) as process:
            reply = process.ask({"do": "import"})
    except Failure as failure:
        return {peer.title: f"not usable ({failure})"}
    names = {"dspy": "dspy", "local": "rlms", "ipython": "rlms", "rlms_docker": "rlms"}
    python = {"Python": reply["python"]} if peer.key == "ours" else {}
    return {**python, names.get(peer.key, "rlm-kernel"): reply["version"]}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Ours against rlms and dspy, on a stand-in LM on this machine.",
        epilog="All rows and peers measured: writes benchmarks/results.md and results.json.",
    )
    names = [row.key for row in ROWS]
    usual = [row.key for row in ROWS if not row.extra]
    parser.add_argument("--rows", nargs="+", choices=names, default=usual, help="some rows only")
    keys = [peer.key for peer in PEERS]
    parser.add_argument("--peers", nargs="+", choices=keys, default=keys, help="some peers only")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per row (default 5)")
    parser.add_argument(
        "--before", type=Path, help="another checkout of this package, measured in the same run"
    )
    parser.add_argument("--quick", action="store_true", help="one round, no 1 GB context, no files")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.quick:
        options.rounds = 1
        if options.rows == usual:
            options.rows = [key for key in usual if key != "1gb"]
    options.save = not options.quick and options.rows == usual and options.peers == keys
    options.save = options.save and options.before is None
    return options


if __name__ == "__main__":
    sys.exit(main())
