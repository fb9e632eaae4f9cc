"""Completes flags, models, variables and runs in the lines of `%%rlm` and `%rlm`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from IPython.core.completer import SimpleCompletion, SimpleMatcherResult, context_matcher

from rlm_ipython import flags
from rlm_ipython.subcommands import SUBCOMMANDS
from rlm_ipython.tables import model_names
from rlm_ipython.variables import variable_names

if TYPE_CHECKING:
    from argparse import Action

    from IPython.core.completer import CompletionContext

    from rlm_ipython.defaults import Defaults

_LINE = re.compile(r"\s*(?P<magic>%%?)rlm\s+(?P<rest>.*)")


class Completions:
    """Completes our lines, and offers nothing in other lines."""

    def __init__(self, magics: Defaults) -> None:
        self._magics = magics

    @context_matcher(identifier="rlm")
    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """Return what fits at the cursor (IPython's Matcher API v2)."""
        line = _LINE.match(context.text_until_cursor)
        if line is None:
            return SimpleMatcherResult(completions=[])
        words = re.split(r"\s+", line["rest"])
        cell = line["magic"] == "%%" and context.cursor_line == _first_line(context.full_text)
        if not cell and line["magic"] == "%%":
            return SimpleMatcherResult(completions=[])
        offered = self._for_a_question(words) if cell else self._for_a_command(words)
        # IPython splits words at characters such as ":" and replaces only the last part.
        kept = len(words[-1]) - len(context.token) if words[-1].endswith(context.token) else 0
        found = [
            SimpleCompletion(text=name[kept:], type="rlm")
            for name in offered
            if name.startswith(words[-1])
        ]
        return SimpleMatcherResult(completions=found, suppress=bool(found))

    def _for_a_question(self, words: list[str]) -> list[str]:
        *_, before, word = ["", *words]
        option = flags.run_flags().get(before)
        if option is not None and option.nargs != 0:
            return self._values(option)
        if word and not word.startswith("-"):
            return []
        return sorted(name for name in flags.run_flags() if name.startswith("--"))

    def _values(self, option: Action) -> list[str]:
        """Return the values that a flag may take, where they can be listed."""
        if option.dest in {"var", "out"}:
            return variable_names(self._magics.shell)
        if option.dest == "backend":
            from rlm.backends import BACKENDS

            return list(BACKENDS)
        return model_names(self._magics) if option.dest in {"model", "sub_model"} else []

    def _for_a_command(self, words: list[str]) -> list[str]:
        if len(words) == 1:
            return list(SUBCOMMANDS)
        command = SUBCOMMANDS.get(words[0])
        if command is not None and command.asks and any(word[:1] == "-" for word in words):
            return self._for_a_question(words)
        if command is None or len(words) > 2 or not command.takes_run:  # noqa: PLR2004 - its name, a run
            return []
        return [str(run.number) for run in self._magics.runs]


def _first_line(text: str) -> int:
    """Return the index of a cell's first line that is not blank, which is the magic's."""
    return next((n for n, line in enumerate(text.split("\n")) if line.strip()), 0)
