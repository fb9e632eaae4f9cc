"""The flags of `%%rlm`, made from the table of run options, and their manual."""

from __future__ import annotations

import argparse
import inspect
import shlex
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser, MagicHelpFormatter

from rlm.run_options.flags import add_flags

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


class _Help(MagicHelpFormatter):
    """Help of a fixed width, so that the docs can hold it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=94)


def documented(function: F) -> F:
    """Append the flags to a magic's docstring, which is its manual."""
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
    """Return the flags that follow a magic's name; a `;` at the end also sets `quiet`."""
    bare = line.rstrip()
    silenced = bare.endswith(";")
    bare = bare.rstrip("; \t")
    try:
        # IPython's `arg_split` would leave quotes in place.
        flags = _parser().parse_args(shlex.split(bare))
    except ValueError as error:  # an open quote
        raise UsageError(f"%%rlm {bare}: {error}.") from None
    flags.quiet = flags.quiet or silenced
    if flags.step and flags.bg:
        raise UsageError("--step asks you before each cell: it cannot go with --bg.")
    return flags


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

The result (-o): .answer, .trajectory, .usage, .save(PATH), .view(). A run that fails binds it
too, with .error and the trajectory so far. With --bg it is the run's handle, which also has
.done, .stop() and .result(); `await job` waits for it.

The interrupt button stops a run within a second. A failure is one paragraph; the traceback is
%rlm traceback.

Defaults: %config RLMMagics lists them, %config RLMMagics.model = "gpt-5-mini" sets one for
this session, c.RLMMagics.model = "gpt-5-mini" in ipython_config.py sets it for all sessions.
Where a provider does not report costs, --budget needs RLMMagics.prices. %rlm? says how to look
at runs.
"""

_GROUPS = {
    "model": "the model",
    "what": "the context, and where the answer goes",
    "environment": "where the model's code runs",
    "limits": "limits on the whole run, sub-calls and children included",
    "how": "how it runs",
}
"""The manual's headings, by group of flags."""


@cache
def _parser() -> MagicArgumentParser:
    parser = MagicArgumentParser(
        "rlm",
        formatter_class=_Help,
        usage="%%rlm [flags]\n  the question, on the lines below",
        epilog=_MORE,
    )
    for group, title in _GROUPS.items():
        add_flags(parser.add_argument_group(title), "magic", group)
    return parser
