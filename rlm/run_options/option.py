"""What a row of the table of run options says."""

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
"""What a run that is made of a log does with the log's value.

`taken`: it uses it. `only lower`: it uses it unless it is above the default. `given again`: it
ignores it, and the user gives the value once more where the run needs it. A log may be anybody's.
"""

Logged = Literal["", "config", "limits", "settings"]
"""Where `RunStarted.config` holds an argument as it is; empty: nowhere, or in another form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """How one door offers an option.

    Attributes:
        group: The heading under which its help lists it.
        short: A one-letter spelling, such as ``-m``.
        help: What is said there instead of the row's `help`.
        metavar: What stands there instead of the row's `metavar`.
    """

    group: str = ""
    short: str = ""
    help: str = ""
    metavar: str = ""


@dataclass(frozen=True, slots=True)
class RunOption:
    """One row: something that a user can say about a run.

    Attributes:
        name: The argument of `RLM`, the key of a dict, or what a door calls it.
        type: As in a signature; of flags also ``price`` and ``name``.
        help: What it means, in the form of a help text: no capital, no full stop.
        place: What takes it: `RLM` itself, the dict that is one of its arguments, or `door`: only
            the command or the magic.
        default: What counts when it is not given.
        from_log: What a run that is made of a log does with the log's value.
        logged: Where a log holds it.
        address: Whether it says where requests, and so keys, go.
        minimum: The smallest number allowed.
        above: Whether the number must be above `minimum`.
        maximum: The largest number allowed.
        flag: The flag's name without dashes; empty: the name.
        metavar: What stands for its value in help texts.
        doors: Where it is a flag.
        environ: The environment variable that is its flag's default.
        choices: The only values allowed.
        sets: A switch that gives another option its own name as the value.
        trait: The trait of `RLMMagics` that is its default in the notebook; empty: none.
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
