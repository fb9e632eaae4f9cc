"""`%rlm` and its sub-commands, such as `%rlm runs` and `%rlm fork`."""

from __future__ import annotations

import difflib
import shlex
import sys
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.error import UsageError

from rlm.errors import RLMError
from rlm.trajectory import Trajectory, load
from rlm_ipython import flags
from rlm_ipython.errors import full_traceback, one_paragraph
from rlm_ipython.replay import fork, replay
from rlm_ipython.tables import cost_table, model_table, run_table, status
from rlm_ipython.views import show

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm_ipython.defaults import Defaults
    from rlm_ipython.runs import ShellRun

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class SubCommand:
    """A word that may follow `%rlm`.

    Attributes:
        usage: What follows the word.
        help: What it does, in one line.
        function: Called with the magics, the flags if `asks`, and the words that follow; it
            returns the magic's value.
        least: The fewest words that must follow.
        most: The most words that may follow.
        asks: Whether it starts a run, and so takes the flags of `%%rlm`.
    """

    usage: str
    help: str
    function: Callable[..., Any]
    _: KW_ONLY
    least: int = 0
    most: int = 0
    asks: bool = False

    @property
    def takes_run(self) -> bool:
        """Whether the first word that follows names a run."""
        return "ID" in self.usage


def run(magics: Defaults, line: str) -> Any:
    """Run a `%rlm` line, and return the magic's value."""
    silenced = line.rstrip().endswith(";")
    try:
        name, *words = shlex.split(line.rstrip("; \t")) or [""]
    except ValueError as error:  # an open quote
        raise UsageError(f"%rlm {line}: {error}.") from None
    value = _call(magics, name, words, quiet=silenced)
    return None if silenced else value


def _call(magics: Defaults, name: str, words: list[str], *, quiet: bool) -> Any:
    if not name:
        return status(magics)
    command = SUBCOMMANDS.get(name)
    if command is None:
        close = difflib.get_close_matches(name, SUBCOMMANDS, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(
            f"%rlm has no sub-command {name!r}.{hint} There are {', '.join(SUBCOMMANDS)}; "
            "to ask a question, use %%rlm (two percent signs)."
        )
    first = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    more = words[first:]
    if command.asks:
        words = words[:first]
    if not command.least <= len(words) <= command.most:
        raise UsageError(f"Usage: %rlm {name} {command.usage}".rstrip())
    if command.asks:
        given = flags.parse(shlex.join(more))
        given.quiet = given.quiet or quiet
        return command.function(magics, given, *words)
    try:
        return command.function(magics, *words)
    except (RLMError, OSError) as error:
        magics.last_error = error
        raise one_paragraph(error) from None


def documented(function: F) -> F:
    """Append the sub-commands to a magic's docstring, which is its manual."""
    listed = "\n".join(
        f"  {f'{name} {command.usage}'.strip():<28}{command.help}"
        for name, command in SUBCOMMANDS.items()
    )
    function.__doc__ = f"""::

  %rlm [command]

{function.__doc__}

commands:
{listed}

ID is a run's number in `%rlm runs`. The flags are those of %%rlm: `%rlm fork 1 3 -m gpt-5 -o r`.
Without a flag the recorded value applies. -v NAME gives the context if the record does not hold
it. A replay asks no model, so it takes no flag that names one. To ask a question, use %%rlm (two
percent signs); its manual is %%rlm?."""
    return function


def _show(magics: Defaults, name: str = "") -> None:
    show(_the_run(magics, name).trajectory, magics.shell, widget=magics.widget)


def _stop(magics: Defaults, name: str = "") -> None:
    running = magics.runs.running
    if not name and len(running) > 1:
        numbers = ", ".join(str(run.number) for run in running)
        raise UsageError(f"Several runs are running ({numbers}): %rlm stop ID, or %rlm stop all.")
    stopped = magics.runs.stop(*([] if name in {"", "all"} else [magics.runs.named(name)]))
    _say(f"stopped: {', '.join(f'run {run.number}' for run in stopped) or 'nothing is running'}")


def _save(magics: Defaults, name: str, path: str) -> Path:
    return magics.runs.named(name).trajectory.save(Path(path).expanduser())


def _load(magics: Defaults, path: str) -> Trajectory:
    trajectory = load(Path(path).expanduser())
    magics.runs.add(trajectory, source=path)
    show(trajectory, magics.shell, widget=magics.widget)
    return trajectory


def _close(magics: Defaults) -> None:
    count = magics.kept.close()
    _say(f"closed {count} persistent {'RLM' if count == 1 else 'RLMs'}")


def _traceback(magics: Defaults, name: str = "") -> None:
    error = magics.runs.named(name).error if name else magics.last_error
    _say("nothing has failed" if error is None else full_traceback(error))


def _the_run(magics: Defaults, name: str) -> ShellRun:
    if name:
        return magics.runs.named(name)
    if magics.runs.last is None:
        raise UsageError("Nothing has been asked yet.")
    return magics.runs.last


def _say(text: str) -> None:
    sys.stdout.write(f"{text.rstrip()}\n")


SUBCOMMANDS: dict[str, SubCommand] = {
    "runs": SubCommand(
        "", "list this notebook's runs, and live ones of other processes", run_table
    ),
    "show": SubCommand("[ID]", "show a whole run, by default the last", _show, most=1),
    "stop": SubCommand("[ID|all]", "stop a run that --bg started", _stop, most=1),
    "cost": SubCommand("", "sum up what this notebook's runs used, by model", cost_table),
    "models": SubCommand(
        "", "list models with window and price, and which keys are set", model_table
    ),
    "save": SubCommand("ID PATH", "write a run to a file", _save, least=2, most=2),
    "load": SubCommand("PATH", "read a run from a file and show it", _load, least=1, most=1),
    "replay": SubCommand(
        "PATH [flags]",
        "play a saved run again in a new kernel, without a key",
        replay,
        least=1,
        most=1,
        asks=True,
    ),
    "fork": SubCommand(
        "ID|PATH TURN [flags]",
        "go on from a turn with the same model or (-m) another",
        fork,
        least=2,
        most=2,
        asks=True,
    ),
    "close": SubCommand("", "close the kernels that --persistent keeps", _close),
    "traceback": SubCommand("[ID]", "show the traceback of the last failure", _traceback, most=1),
}
"""By word, in the manual's order."""
