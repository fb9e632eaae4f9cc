"""The arguments of the commands on recorded runs: `rlm show`, `replay`, `convert`, `diff`."""

from __future__ import annotations

import argparse
import re
from typing import Any

SHOW = """\
Show a recorded run as a tree: turns, cells, sub-calls, children, the answer, what it took.
FILE is what `--save`, `result.save()`, a logger or the reference's logger wrote.
"""

REPLAY = """\
Run a recorded run again: real kernels, and every reply from the log. No key, no network, no cost.
A cell that gives other output than recorded is named. With --turn, --resume or --message a model
goes on from there: a fork, or a run that was killed or hit a limit.
"""

REPLAY_EXAMPLES = """\
examples:
  rlm replay risks.ipynb
  rlm replay risks.ipynb --context report.txt --environment docker
  rlm replay risks.ipynb --turn 3 --model gpt-5 --save other.ipynb
  rlm replay killed.ipynb --resume --budget 2

exit codes:
  0 an answer   1 the run failed, or asks what the log does not have   2 wrong arguments
  3 a limit ended the run (the partial answer is printed)   130 Ctrl-C
"""

CONVERT = """\
Write a recorded run in another format; B's suffix says which. .json and .ipynb hold everything,
.jsonl is the reference's log, .html a page to read, .trace.json a timeline for Perfetto
(https://ui.perfetto.dev) and speedscope. .html and .trace.json cannot be read again.
"""

DIFF = """\
Say how two recorded runs differ: question, models, turns, code, outputs, sub-calls, answers,
usage. Times, ids and the order of concurrent calls do not count.

Exit code 0 when they did the same, 1 when they differ or cannot be compared.
"""


def add_records(commands: Any) -> None:
    """Add the commands.

    Args:
        commands: What `add_subparsers` returned.
    """
    show = commands.add_parser(
        "show",
        prog="rlm show",
        help="show a recorded run",
        usage="rlm show FILE [options]",
        description=SHOW,
    )
    show.add_argument("file", metavar="FILE", help="a .json, .ipynb or .jsonl file")
    show.add_argument("--turn", metavar="N", type=_number, help="one turn, with nothing cut")
    _add_common(show)
    _add_replay(commands)
    convert = commands.add_parser(
        "convert",
        prog="rlm convert",
        help="write a recorded run in another format",
        usage="rlm convert A B [options]",
        description=CONVERT,
    )
    convert.add_argument("source", metavar="A", help="a .json, .ipynb or .jsonl file")
    convert.add_argument("target", metavar="B", help="the file to write; one that is there is lost")
    convert.add_argument(
        "--redact",
        metavar="REGEX",
        type=_pattern,
        action="append",
        default=[],
        help="what is to be *** wherever it stands; may be given again",
    )
    _add_common(convert)
    diff = commands.add_parser(
        "diff",
        prog="rlm diff",
        help="say how two recorded runs differ",
        usage="rlm diff A B [options]",
        description=DIFF,
    )
    diff.add_argument("first", metavar="A", help="a .json, .ipynb or .jsonl file")
    diff.add_argument("second", metavar="B", help="another")
    diff.add_argument("--debug", action="store_true", help="show tracebacks")


def _add_replay(commands: Any) -> None:
    replay = commands.add_parser(
        "replay",
        prog="rlm replay",
        help="run a recorded run again, or go on from one of its turns",
        usage="rlm replay FILE [options]",
        description=REPLAY,
        epilog=REPLAY_EXAMPLES,
    )
    replay.add_argument("file", metavar="FILE", help="a .json, .ipynb or .jsonl file")
    replay.add_argument(
        "--context",
        metavar="FILE|DIR",
        help="what the run was about, when the log does not hold it: text, JSON or bytes, as it "
        "was given; its hash must match",
    )
    replay.add_argument(
        "--environment", metavar="NAME", help="where the code runs (default: as recorded)"
    )
    replay.add_argument(
        "--on-miss",
        metavar="WHAT",
        choices=("error", "live", "nearest"),
        help="what to do about a call that the log has no reply to: error (end, and say what "
        "differs), live (ask the model), nearest (take the reply to the most similar prompt)",
    )
    live = replay.add_argument_group("going on with a model")
    live.add_argument("--turn", metavar="N", type=_number, help="the first turn that it is asked")
    live.add_argument("--resume", action="store_true", help="from the last whole turn")
    live.add_argument("--message", metavar="TEXT", help="what it is told before that turn")
    live.add_argument("--model", metavar="NAME", help="another model (default: as recorded)")
    live.add_argument("--backend", metavar="NAME", help="another provider (default: as recorded)")
    live.add_argument("--base-url", metavar="URL", help="another address of the API")
    live.add_argument("--max-iterations", metavar="N", type=_number, help="turns")
    live.add_argument("--budget", metavar="USD", type=_amount, help="money, the log's included")
    live.add_argument("--timeout", metavar="SECONDS", type=_amount, help="time, from now")
    live.add_argument("--tokens", metavar="N", type=_number, help="tokens, the log's included")
    output = replay.add_argument_group("output")
    loudness = output.add_mutually_exclusive_group()
    loudness.add_argument("--verbose", action="store_true", help="show the run as it happens")
    loudness.add_argument("--quiet", action="store_true", help="nothing but the answer, and errors")
    output.add_argument("--json", action="store_true", help="one JSON object on stdout")
    output.add_argument("--save", metavar="PATH", help="save the new run; the suffix says how")
    output.add_argument("--log-dir", metavar="DIR", help="write a .jsonl log there, line by line")
    _add_common(replay)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--run", metavar="N", type=_number, help="which run, of a .jsonl log of several"
    )
    command.add_argument("--debug", action="store_true", help="show tracebacks")


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
