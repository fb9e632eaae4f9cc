"""The parsers of the commands on recorded runs: `rlm show`, `replay`, `convert`, `diff`."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from rlm.run_options.flags import add_flags, whole

if TYPE_CHECKING:
    from rlm.run_options import Door

SHOW = """\
Show a recorded run as a tree: turns, cells, sub-calls, children, the answer, time and cost.
FILE was written by `--save`, `result.save()`, a logger, or the logger of the reference (`rlms`).
"""

REPLAY = """\
Run a recorded run again in a new kernel. Every reply comes from the log: no key, no network, no
cost. Warnings name the cells whose output differs from the recorded one. With --turn, --resume or
--message a model goes on from there: so you fork a run, or resume one that was killed or hit a
limit.
"""

REPLAY_EXAMPLES = """\
examples:
  rlm replay risks.ipynb
  rlm replay risks.ipynb --context report.txt --environment docker
  rlm replay risks.ipynb --turn 3 --model gpt-5 --save other.ipynb
  rlm replay killed.ipynb --resume --budget 2

exit codes:
  0 an answer   1 the run failed, or made a call that is not in the log   2 wrong arguments
  3 a limit ended the run (the partial answer is printed)   130 Ctrl-C
"""

CONVERT = """\
Write a recorded run in another format, which B's suffix names. .json and .ipynb hold everything,
.jsonl is a log in the reference's format, .html a page to read, .trace.json a timeline for Perfetto
(https://ui.perfetto.dev) and speedscope. rlm cannot read .html and .trace.json again.
"""

DIFF = """\
Say how two recorded runs differ: question, models, turns, code, outputs, sub-calls, answers,
usage. Times, ids and the order of concurrent calls do not count.

Exit code 0 when they did the same, 1 when they differ or cannot be compared.
"""


_READABLE = "a .json, .ipynb or .jsonl file"


def add_records(commands: Any) -> None:
    """Add the commands to what `add_subparsers` returned."""
    show = commands.add_parser(
        "show", help="show a recorded run", usage="rlm show FILE [options]", description=SHOW
    )
    show.add_argument("file", metavar="FILE", help=_READABLE)
    show.add_argument("--turn", metavar="N", type=whole, help="show one turn, with nothing cut")
    _add_run_number(show)
    add_debug(show)
    _add_replay(commands)
    _add_convert(commands)
    diff = commands.add_parser(
        "diff",
        help="say how two recorded runs differ",
        usage="rlm diff A B [options]",
        description=DIFF,
    )
    diff.add_argument("first", metavar="A", help=_READABLE)
    diff.add_argument("second", metavar="B", help="another one")
    add_debug(diff)


def add_output_flags(command: argparse.ArgumentParser, door: Door) -> None:
    """Add the flags that say what is printed and where the run is saved."""
    output = command.add_argument_group("output")
    add_flags(output.add_mutually_exclusive_group(), door, "loudness")
    add_flags(output, door, "output")


def add_debug(command: argparse.ArgumentParser) -> None:
    """Add `--debug` to a command whose flags are not run options."""
    command.add_argument("--debug", action="store_true", help="show tracebacks")


def _add_replay(commands: Any) -> None:
    replay = commands.add_parser(
        "replay",
        help="run a recorded run again, or go on from one of its turns",
        usage="rlm replay FILE [options]",
        description=REPLAY,
        epilog=REPLAY_EXAMPLES,
    )
    replay.add_argument("file", metavar="FILE", help=_READABLE)
    add_flags(replay, "replay")
    add_flags(replay.add_argument_group("going on with a model"), "replay", "live")
    add_output_flags(replay, "replay")
    add_flags(replay, "replay", "common")


def _add_convert(commands: Any) -> None:
    convert = commands.add_parser(
        "convert",
        help="write a recorded run in another format",
        usage="rlm convert A B [options]",
        description=CONVERT,
    )
    convert.add_argument("source", metavar="A", help=_READABLE)
    convert.add_argument(
        "target", metavar="B", help="the file to write; an existing one is overwritten"
    )
    convert.add_argument(
        "--redact",
        metavar="REGEX",
        type=_pattern,
        action="append",
        default=[],
        help="replace this text by *** wherever it occurs; may be given again",
    )
    _add_run_number(convert)
    add_debug(convert)


def _add_run_number(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--run", metavar="N", type=whole, help="which run, of a .jsonl log of several"
    )


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
