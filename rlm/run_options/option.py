"""A row of the table of run options."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

Place = Literal["RLM", "backend_kwargs", "sampling_args", "environment_kwargs", "door"]

ARGUMENT: Place = "RLM"
BACKEND: Place = "backend_kwargs"
SAMPLING: Place = "sampling_args"
ENVIRONMENT: Place = "environment_kwargs"
DOOR: Place = "door"

Door = Literal["run", "replay", "demo", "build", "magic"]
"""Where flags are given: `rlm run`, `rlm replay`, `rlm demo`, `rlm kernel build`, and `%%rlm`."""

FromLog = Literal["taken", "only lower", "given again"]
"""What a run from a log does with the log's value, because a log may be hostile.

`taken`: uses it. `only lower`: uses it unless it is above the default. `given again`: ignores it;
if the run needs a value, the user gives it again.
"""

Logged = Literal["", "config", "limits", "settings"]
"""Where `RunStarted.config` holds an argument unchanged; empty: nowhere, or in another form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """How one door offers an option.

    Attributes:
        group: The heading in the door's help.
        short: A one-letter spelling, such as ``-m``.
        help: Replaces the row's `help`.
        metavar: Replaces the row's `metavar`.
    """

    group: str = ""
    short: str = ""
    help: str = ""
    metavar: str = ""


@dataclass(frozen=True, slots=True)
class RunOption:
    """One row: an option of a run.

    Attributes:
        name: The argument of `RLM`, the key of a dict, or the door's name for it.
        type: As in a signature; for flags also ``price`` and ``name``.
        help: What it means, as a help text: no capital, no full stop.
        place: Where it is given: to `RLM`, in a dict that is an argument of `RLM`, or to a `door`
            alone (the command or the magic).
        default: The value if it is not given.
        from_log: What a run from a log does with the log's value.
        logged: Where a log holds it.
        address: Whether it decides where requests, and keys with them, go.
        minimum: The smallest number allowed.
        above: Whether the number must be above `minimum`.
        maximum: The largest number allowed.
        flag: The flag's name without dashes; empty: the option's name.
        metavar: The placeholder for its value in help texts.
        doors: The doors that have a flag for it.
        environ: The environment variable that is its flag's default.
        choices: The only values allowed.
        sets: For a switch: the option that it sets to its own name.
        trait: The trait of `RLMMagics` that holds its default in a notebook; empty: none.
    """

    name: str
    type: str = "Any"
    help: str = ""
    _: KW_ONLY
    place: Place = ARGUMENT
    default: Any = None
    from_log: FromLog = "given again"
    logged: Logged = ""
    address: bool = False
    minimum: float = 0
    above: bool = False
    maximum: float | None = None
    flag: str = ""
    metavar: str | None = None
    doors: dict[Door, Flag] = field(default_factory=dict)
    environ: str = ""
    choices: tuple[str, ...] = ()
    sets: str = ""
    trait: str = ""

    @property
    def spelling(self) -> str:
        """Return the flag, such as ``--max-depth``."""
        return f"--{(self.flag or self.name).replace('_', '-')}"

    @property
    def dest(self) -> str:
        """Return the flag's attribute of the parsed namespace."""
        return self.spelling[2:].replace("-", "_")

    @property
    def kind(self) -> str:
        """Return the type without its parameters and ``| None``, such as ``dict``."""
        return self.type.partition("[")[0].partition(" |")[0]

    @property
    def optional(self) -> bool:
        """Whether None is allowed."""
        return self.type.endswith("| None") or self.default is None
