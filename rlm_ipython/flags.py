"""The flags of `%%rlm`, and what they mean when they are not given."""

from __future__ import annotations

import argparse
import inspect
import keyword
import shlex
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser, MagicHelpFormatter

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


class _Help(MagicHelpFormatter):
    """Help that looks the same on every screen, so that the docs can hold it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=94)


def documented(function: F) -> F:
    """Append the flags to a magic's docstring: its manual."""
    parser = _parser()
    parser.description = inspect.cleandoc(str(function.__doc__))
    function.__doc__ = parser.format_help()
    return function


@cache
def run_flags() -> dict[str, argparse.Action]:
    """Return the flags by their spellings, such as ``-m`` and ``--model``."""
    options: dict[str, argparse.Action] = _parser()._option_string_actions  # noqa: SLF001 - argparse has no public way to list options
    return options


def parse(line: str) -> argparse.Namespace:
    """Return a magic line's flags; `quiet` is also true for a `;` at its end.

    Args:
        line: What follows the magic's name.

    Raises:
        UsageError: A flag is unknown, or its value makes no sense.
    """
    bare = line.rstrip()
    silenced = bare.endswith(";")
    bare = bare.rstrip("; \t")
    try:
        # Not IPython's `arg_split`, which leaves quotes in place.
        flags = _parser().parse_args(shlex.split(bare))
    except ValueError as error:  # an open quote
        raise UsageError(f"%%rlm {bare}: {error}.") from None
    flags.quiet = flags.quiet or silenced
    if flags.step and flags.bg:
        raise UsageError("--step asks you before each cell: it cannot go with --bg.")
    return flags


def _name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a variable's name")
    return text


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of more than 0")
    return number


_MORE = """
examples:
  %%rlm -m gpt-5-mini -v report -o risks --docker
  What are the three biggest risks named in the report?

  %%rlm -v contracts -v policy --budget 0.50 --sub-model gpt-5-nano
  Which of the contracts break the policy? Quote the clause.

  %%rlm -v df --bg -o job
  Which columns hold outliers of more than {sigmas} sigma?

Variables (-v): str, bytes, list, dict, DataFrame, ndarray, a pathlib.Path (its text; of a
folder, all texts), or anything that can be pickled. Without -v the body alone is the context.

Braces: {name} in the body becomes the variable's value where the notebook has it and it is
small (numbers, short text, dates, small lists of them). All other braces stay as they are.

The result (-o): .answer, .trajectory, .usage, .save(PATH), .view(); when a run fails it is
there too, with .error and the trajectory so far. With --bg it is the run's handle, which has
these as well, and .done, .stop(), .result(); `await job` waits for it.

The interrupt button stops a run within a second. A failure is one paragraph; the traceback is
%rlm traceback.

Defaults: %config RLMMagics lists them, %config RLMMagics.model = "gpt-5-mini" sets one for
this session, c.RLMMagics.model = "gpt-5-mini" in ipython_config.py for all. RLMMagics.prices
is what --budget needs where a provider does not report costs. %rlm? says how to look at runs.
"""

_WHERE: dict[str, Any] = {"action": "store_const", "dest": "environment"}


@cache
def _parser() -> MagicArgumentParser:
    parser = MagicArgumentParser(
        "rlm",
        formatter_class=_Help,
        usage="%%rlm [flags]\n  the question, on the lines below",
        epilog=_MORE,
    )
    group = parser.add_argument_group("the model")
    group.add_argument(
        "-b",
        "--backend",
        metavar="NAME",
        help="the provider, such as openai or anthropic",
    )
    group.add_argument("-m", "--model", metavar="NAME", help="the model that is asked turn by turn")
    group.add_argument(
        "-s",
        "--sub-model",
        metavar="NAME",
        help="another model of that provider, for sub-calls",
    )
    group.add_argument(
        "--base-url", metavar="URL", help="the API's address, if not the provider's own"
    )
    group = parser.add_argument_group("what it is about, and what becomes of the answer")
    group.add_argument(
        "-v",
        "--var",
        metavar="NAME",
        type=_name,
        action="append",
        default=[],
        dest="variables",
        help="a variable of the notebook: the context. Given again: a dict of all of them",
    )
    group.add_argument(
        "-o", "--out", metavar="NAME", type=_name, help="the variable to put the result in"
    )
    group.add_argument(
        "--save",
        metavar="PATH",
        help="write the run to a file; its suffix decides the format",
    )
    group.add_argument(
        "--quiet", action="store_true", help="show nothing (as does a ; ending the line)"
    )
    group = parser.add_argument_group("where the model's code runs")
    group.add_argument("--local", const="local", help="a process of yours: no boundary", **_WHERE)
    group.add_argument("--docker", const="docker", help="a container without network", **_WHERE)
    group.add_argument("--modal", const="modal", help="a Modal sandbox", **_WHERE)
    group.add_argument("--image", metavar="NAME", help="the image of the container or sandbox")
    group = parser.add_argument_group("limits on the whole run, sub-calls and children included")
    group.add_argument(
        "--max-depth", metavar="N", type=_whole, help="levels of recursion; 1: no children"
    )
    group.add_argument("--max-iterations", metavar="N", type=_whole, help="turns")
    group.add_argument("--budget", metavar="USD", type=_positive, help="money")
    group.add_argument("--timeout", metavar="S", type=_positive, help="seconds")
    group.add_argument("--tokens", metavar="N", type=_whole, help="tokens, input and output")
    group = parser.add_argument_group("how it runs")
    group.add_argument(
        "--persistent",
        action="store_true",
        help="go on in the kernel of the last persistent run with the same flags",
    )
    group.add_argument(
        "--bg", action="store_true", help="return at once; the value is the run's handle"
    )
    group.add_argument(
        "--step", action="store_true", help="ask before each cell of the model's: run, edit, stop"
    )
    return parser
