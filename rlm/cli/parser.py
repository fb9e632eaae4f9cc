"""What the command takes: the arguments of `rlm run`, `rlm doctor`, `rlm demo` and the others."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
from typing import Any

from rlm.cli.parser_records import add_records

RUN = """\
Answer a question about a context of any size. The context becomes a variable in a Jupyter
kernel; the model reads it there with code and with calls to models, and never as one prompt.

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
Make the image that kernels in containers run in, so that the first run need not wait for it, or
remove what is left of them. The engine is the one that DOCKER_HOST names.
"""

ATTACH = """\
List the runs that go on now, of all processes of this user, or say how to open the kernel of one
in `jupyter console`. What is typed there runs between the model's cells and becomes a note in the
run's trajectory; while one of the model's cells runs, the console waits.
"""

DEMO = """\
Answer a question about 10 MB of real input, Python's own sources, with a real run: turns,
kernel cells, concurrent sub-calls, a recursive child. Without --backend or --model a stand-in
model answers over HTTP on this machine: no key, no cost. It is no language model; it follows
a fixed policy and reads what it is sent. The answer is checked against a plain count.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    root = _Parser(
        prog="rlm",
        usage="rlm COMMAND [options]",
        description="Recursive Language Models as a Jupyter kernel.",
        epilog="`rlm COMMAND --help` says more. Start with `rlm demo`: it needs no key.",
    )
    root.add_argument("--version", action="version", version=_version())
    commands = root.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands", parser_class=_Parser
    )
    _add_run(commands)
    _add_doctor(commands)
    _add_demo(commands)
    _add_kernel(commands)
    _add_attach(commands)
    add_records(commands)
    return root


class _Parser(argparse.ArgumentParser):
    """A parser whose help looks the same on every terminal, so that the docs can hold it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_formatter, allow_abbrev=False, **options)


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=94)


def _version() -> str:
    try:
        return f"rlm-kernel {importlib.metadata.version('rlm-kernel')}"
    except importlib.metadata.PackageNotFoundError:
        return "rlm-kernel (not installed)"


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        prog="rlm run",
        help="answer a question about a context",
        usage="rlm run QUESTION [--context FILE|DIR|-] --model NAME [options]",
        description=RUN,
        epilog=RUN_EXAMPLES,
    )
    run.add_argument("question", metavar="QUESTION", type=_question, help="what to answer")
    run.add_argument(
        "--context",
        metavar="FILE|DIR|-",
        help="what it is about: a file, a folder's text files, or stdin (-); without it the "
        "question is all there is",
    )
    _add_model(run)
    _add_environment(run)
    _add_limits(run)
    _add_output(run)


def _add_model(run: argparse.ArgumentParser) -> None:
    model = run.add_argument_group("model")
    model.add_argument(
        "--backend",
        metavar="NAME",
        default=os.environ.get("RLM_BACKEND") or "openai",
        help="openai, anthropic, openrouter, portkey, litellm, vllm, azure_openai, gemini or "
        "vercel (default: $RLM_BACKEND, else openai)",
    )
    model.add_argument(
        "--model",
        metavar="NAME",
        default=os.environ.get("RLM_MODEL"),
        help="the model that is asked turn by turn (default: $RLM_MODEL)",
    )
    model.add_argument(
        "--sub-model",
        metavar="NAME",
        help="another model of the same backend, for sub-calls (default: the model itself)",
    )
    model.add_argument("--base-url", metavar="URL", help="the API's address, if not the usual one")


def _add_environment(run: argparse.ArgumentParser) -> None:
    where = run.add_argument_group("environment", "where the model's code runs")
    where.add_argument(
        "--environment",
        metavar="NAME",
        default="local",
        help="local, docker or modal; local is a process of this user and no boundary against "
        "hostile code (default: local)",
    )
    where.add_argument(
        "--image", metavar="NAME", help="the image that a container or Modal sandbox is made of"
    )
    where.add_argument(
        "--package",
        metavar="REQUIREMENT",
        action="append",
        help="what pip is to install into it besides; may be given again",
    )
    where.add_argument(
        "--environment-kwargs",
        metavar="JSON",
        help='what else it takes, in a file or here: {"mem_limit": "8g"} (docs/environments.md)',
    )


def _add_limits(run: argparse.ArgumentParser) -> None:
    limits = run.add_argument_group("limits", "on the whole run, sub-calls and children included")
    limits.add_argument(
        "--max-depth",
        metavar="N",
        type=_whole,
        default=1,
        help="levels of recursion: from 2 on, rlm_query starts children with kernels (default: 1)",
    )
    limits.add_argument(
        "--max-iterations", metavar="N", type=_whole, default=30, help="turns (default: 30)"
    )
    limits.add_argument("--budget", metavar="USD", type=_positive, help="money")
    limits.add_argument("--timeout", metavar="SECONDS", type=_positive, help="time")
    limits.add_argument("--tokens", metavar="N", type=_whole, help="tokens, input and output")
    limits.add_argument("--max-errors", metavar="N", type=_whole, help="failing turns in a row")
    limits.add_argument(
        "--price-in", metavar="USD", type=_price, help="price of 1M input tokens of --model"
    )
    limits.add_argument(
        "--price-out", metavar="USD", type=_price, help="price of 1M output tokens of --model"
    )
    limits.add_argument(
        "--prices",
        metavar="JSON",
        help='prices of several models, in a file or here: {"MODEL": [IN, OUT]}',
    )


def _add_output(run: argparse.ArgumentParser) -> None:
    output = run.add_argument_group("output")
    loudness = output.add_mutually_exclusive_group()
    loudness.add_argument(
        "--verbose",
        action="store_true",
        help="show the run as it happens (default: when stderr is a terminal)",
    )
    loudness.add_argument("--quiet", action="store_true", help="nothing but the answer, and errors")
    output.add_argument(
        "--json",
        action="store_true",
        help="one JSON object on stdout: answer, status, model, turns, usage, time",
    )
    output.add_argument(
        "--save",
        metavar="PATH",
        help="save the run: .json or .ipynb (everything), .jsonl (a log), .html or .trace.json",
    )
    output.add_argument("--log-dir", metavar="DIR", help="write a .jsonl log there, line by line")
    output.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be done (sizes, model, limits); no call, no kernel",
    )
    output.add_argument("--debug", action="store_true", help="show tracebacks")


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor",
        prog="rlm doctor",
        help="say what works here, and what to do about what does not",
        usage="rlm doctor [options]",
        description=DOCTOR,
    )
    doctor.add_argument("--json", action="store_true", help="one JSON object on stdout")
    doctor.add_argument("--debug", action="store_true", help="show tracebacks")


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        prog="rlm demo",
        help="answer a question about 10 MB, without a key",
        usage="rlm demo [options]",
        description=DEMO,
    )
    demo.add_argument("--backend", metavar="NAME", help="ask a real model of this backend")
    demo.add_argument("--model", metavar="NAME", help="the real model's name")
    demo.add_argument("--base-url", metavar="URL", help="the API's address, if not the usual one")
    demo.add_argument(
        "--save",
        metavar="PATH",
        help="save the run: .ipynb or .json (with its input, for `rlm replay`), .html, ...",
    )
    demo.add_argument(
        "--log-dir", metavar="DIR", default="runs", help="where the log goes (default: runs)"
    )
    demo.add_argument("--quiet", action="store_true", help="do not show the run as it happens")
    demo.add_argument("--debug", action="store_true", help="show tracebacks")


def _question(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: say what to answer")
    return text


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _positive(text: str) -> float:
    number = _price(text)
    if number == 0:
        raise argparse.ArgumentTypeError("it must be more than 0")
    return number


def _price(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number


def _add_kernel(commands: Any) -> None:
    kernel = commands.add_parser(
        "kernel",
        help="make or remove what kernels in containers need",
        usage="rlm kernel build|prune [options]",
        description=KERNEL,
    )
    actions = kernel.add_subparsers(
        dest="action", required=True, metavar="ACTION", title="actions", parser_class=_Parser
    )
    build = actions.add_parser(
        "build",
        help="make the image that runs with the same options will use",
        usage="rlm kernel build [options]",
        description="Make the image that runs with the same options will use; print its name.",
    )
    build.add_argument(
        "--image",
        metavar="NAME",
        default="python:3.11-slim",
        help="the image it is made of (default: python:3.11-slim)",
    )
    build.add_argument(
        "--package",
        metavar="REQUIREMENT",
        action="append",
        help="what pip is to install besides; may be given again",
    )
    build.add_argument(
        "--build-network", metavar="NAME", default="bridge", help="pip's network (default: bridge)"
    )
    build.add_argument("--pip-index-url", metavar="URL", help="where pip finds packages")
    build.add_argument("--debug", action="store_true", help="show tracebacks")
    prune = actions.add_parser(
        "prune",
        help="remove containers that a crashed host left (there should be none)",
        usage="rlm kernel prune [options]",
        description="Remove containers that a crashed host left (there should be none).",
    )
    prune.add_argument("--images", action="store_true", help="and the images that we have made")
    prune.add_argument("--dry-run", action="store_true", help="say what would be removed")
    prune.add_argument("--debug", action="store_true", help="show tracebacks")


def _add_attach(commands: Any) -> None:
    attach = commands.add_parser(
        "attach",
        help="list live runs, or say how to look into one's kernel",
        usage="rlm attach [RUN] [options]",
        description=ATTACH,
    )
    attach.add_argument("run", metavar="RUN", nargs="?", help="its id, or the start of it")
    attach.add_argument("--debug", action="store_true", help="show tracebacks")
