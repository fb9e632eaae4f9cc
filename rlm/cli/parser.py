"""The parser of the command `rlm`, and of its sub-commands that start runs or look after them."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from rlm.cli.parser_records import add_debug, add_output_flags, add_records
from rlm.run_options import ENVIRONMENT, option
from rlm.run_options.flags import add_flags
from rlm_kernel.docker.options import IMAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN = """\
Answer a question about a context of any size. The context becomes a variable in a Jupyter
kernel; the model reads it there with code and with calls to models, never as one prompt.

The answer goes to stdout, everything else to stderr.
"""

RUN_EXAMPLES = """\
examples:
  rlm run "Who is the narrator?" --context book.txt --model gpt-5-mini
  rlm run "Where are sessions closed?" --context src/ --model gpt-5 --sub-model gpt-5-mini
  git log | rlm run "What changed in May?" --context - --model gpt-5-mini --budget 0.50
  rlm run "Which month sold best?" --context sales.csv --model gpt-5-mini \\
      --environment docker --package pandas
  rlm run "Sum it up" --context notes/ --backend vllm --base-url http://localhost:8000/v1 \\
      --model meta-llama/Llama-3-70b

exit codes:
  0 an answer   1 the run failed   2 wrong arguments or configuration
  3 a limit ended the run (the partial answer is printed)   130 Ctrl-C
"""

DOCTOR = """\
Say what works here and what to do about what does not: Python, packages, keys (which are set,
never their values), kernels (one is started and timed), Docker, Modal.

Exit code 1 when runs cannot work, else 0.
"""

KERNEL = """\
Build the image for kernels in containers ahead of time, so that the first run need not wait, or
remove leftovers. The Docker engine is the one that DOCKER_HOST names.
"""

ATTACH = """\
List your live runs, or say how to open the kernel of one in `jupyter console`. What you type
there runs between the model's cells, and the run's trajectory records it. While one of the
model's cells runs, the console waits.
"""

DEMO = """\
Answer a question about 10 MB of real input, Python's own sources, with a real run: turns,
kernel cells, concurrent sub-calls, a recursive child. Without --backend or --model a stand-in
model answers over HTTP on this machine: no key, no cost. The stand-in is not a language model:
it follows a fixed policy and reads what it is sent. A plain count checks the answer.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    root = _Parser(
        prog="rlm",
        usage="rlm COMMAND [options]",
        description="Recursive Language Models as a Jupyter kernel.",
        epilog="`rlm COMMAND --help` says more. Start with `rlm demo`: it needs no key.",
    )
    root.add_argument("--version", action=_Version, help="show the version and exit")
    commands = root.add_subparsers(
        dest="command",
        required=True,
        prog="rlm",
        metavar="COMMAND",
        title="commands",
        parser_class=_Parser,
    )
    _add_run(commands)
    _add_doctor(commands)
    _add_demo(commands)
    _add_kernel(commands)
    _add_attach(commands)
    add_records(commands)
    return root


class _Parser(argparse.ArgumentParser):
    """A parser with help of a fixed width, so that the docs can hold it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_formatter, allow_abbrev=False, **options)


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=94)


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: it takes as long as all of `--help`."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        del dest
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("rlm-kernel")
        except PackageNotFoundError:
            number = "(not installed)"
        sys.stdout.write(f"rlm-kernel {number}\n")
        parser.exit()


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="answer a question about a context",
        usage="rlm run QUESTION [--context FILE|DIR|-] --model NAME [options]",
        description=RUN,
        epilog=RUN_EXAMPLES,
    )
    run.add_argument("question", metavar="QUESTION", type=_question, help="what to answer")
    add_flags(run, "run")
    add_flags(run.add_argument_group("model"), "run", "model")
    where = run.add_argument_group("environment", "where the model's code runs")
    add_flags(where, "run", "environment")
    limits = run.add_argument_group("limits", "on the whole run, sub-calls and children included")
    add_flags(limits, "run", "limits")
    add_output_flags(run, "run")


def _question(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: say what to answer")
    return text


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="say what works here, and what to do about what does not",
        usage="rlm doctor [options]",
        description=DOCTOR,
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    add_debug(doctor)


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="answer a question about 10 MB, without a key",
        usage="rlm demo [options]",
        description=DEMO,
    )
    add_flags(demo, "demo")
    demo.set_defaults(log_dir="runs")


def _add_kernel(commands: Any) -> None:
    kernel = commands.add_parser(
        "kernel",
        help="build the image for kernels in containers, or remove leftovers",
        usage="rlm kernel build|prune [options]",
        description=KERNEL,
    )
    actions = kernel.add_subparsers(
        dest="action",
        required=True,
        prog="rlm kernel",
        metavar="ACTION",
        title="actions",
        parser_class=_Parser,
    )
    build = actions.add_parser(
        "build",
        help="build the image that runs with the same options use",
        usage="rlm kernel build [options]",
        description="Build the image that runs with the same options use, and print its name.",
    )
    add_flags(build, "build")
    build.set_defaults(image=IMAGE, build_network=option("build_network", ENVIRONMENT).default)
    prune = actions.add_parser(
        "prune",
        help="remove containers that a crashed host left behind (rare)",
        usage="rlm kernel prune [options]",
        description="Remove containers that a crashed host left behind (there should be none).",
    )
    prune.add_argument(
        "--images", action="store_true", help="remove the images that rlm has built, too"
    )
    prune.add_argument(
        "--dry-run", action="store_true", help="list what would be removed, and remove nothing"
    )
    add_debug(prune)


def _add_attach(commands: Any) -> None:
    attach = commands.add_parser(
        "attach",
        help="list live runs, or say how to open the kernel of one",
        usage="rlm attach [RUN] [options]",
        description=ATTACH,
    )
    attach.add_argument("run", metavar="RUN", nargs="?", help="the run's id, or its start")
    add_debug(attach)
