"""The parsers of the commands on recorded runs: `rlm show`, `replay`, `convert`, `diff`."""

from __future__ import annotations

import argparse
import re
from typing import Any

from rlm.run_options.flags import add_flags, whole

SHOW = """\
Show a recorded run as a tree: turns, cells, sub-calls, children, the answer, what it took.
FILE is what `--save`, `result.save()`, a logger or the reference's logger wrote.
"""

REPLAY = """\
Run a recorded run again in a new kernel; every reply comes from the log. No key, no network, no
cost. Cells whose output differs from the recorded one are named. With --turn, --resume or --message
a model goes on from there: to fork a run, or to resume one that was killed or hit a limit.
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
    """Add the commands to what `add_subparsers` returned."""
    show = commands.add_parser(
        "show",
        prog="rlm show",
        help="show a recorded run",
        usage="rlm show FILE [options]",
        description=SHOW,
    )
    show.add_argument("file", metavar="FILE", help="a .json, .ipynb or .jsonl file")
    show.add_argument("--turn", metavar="N", type=whole, help="one turn, with nothing cut")
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
    convert.add_argument(
        "target", metavar="B", help="the file to write; an existing one is overwritten"
    )
    convert.add_argument(
        "--redact",
        metavar="REGEX",
        type=_pattern,
        action="append",
        default=[],
        help="text to replace by ***, wherever it occurs; may be given again",
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
    add_flags(replay, "replay")
    add_flags(replay.add_argument_group("going on with a model"), "replay", "live")
    output = replay.add_argument_group("output")
    add_flags(output.add_mutually_exclusive_group(), "replay", "loudness")
    add_flags(output, "replay", "output")
    add_flags(replay, "replay", "common")


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--run", metavar="N", type=whole, help="which run, of a .jsonl log of several"
    )
    command.add_argument("--debug", action="store_true", help="show tracebacks")


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from None
