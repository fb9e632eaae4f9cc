"""The rows for options of the command or the magic alone, which are no arguments of `RLM`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlm.run_options.option import DOOR, Flag, RunOption

if TYPE_CHECKING:
    from rlm.run_options.option import Door

_OUTPUT = Flag(group="output")
_LIVE = Flag(group="live")
_WHAT = Flag(group="what")
_HOW = Flag(group="how")


def _option(
    name: str, kind: str, meaning: str, *, doors: dict[Door, Flag], **more: Any
) -> RunOption:
    return RunOption(name, kind, meaning, place=DOOR, doors=doors, **more)


def _switch(name: str, meaning: str, doors: dict[Door, Flag]) -> RunOption:
    return _option(name, "bool", meaning, default=False, doors=doors)


def _environment(name: str, meaning: str) -> RunOption:
    flag = Flag(group="environment")
    return _option(name, "Any", meaning, sets="environment", doors={"magic": flag})


DOOR_OPTIONS: tuple[RunOption, ...] = (
    _option(
        "context",
        "str | None",
        "the context: a file, a folder's text files, or stdin (-); without it there is "
        "only the question",
        metavar="FILE|DIR|-",
        doors={
            "run": Flag(),
            "replay": Flag(
                metavar="FILE|DIR",
                help="the run's context, if the log does not hold it: text, JSON or bytes, as "
                "it was given; its hash must match",
            ),
        },
    ),
    _option(
        "sub_model",
        "str | None",
        "another model of the same backend, for sub-calls",
        metavar="NAME",
        trait="sub_model",
        doors={
            "run": Flag(
                group="model",
                help="another model of the same backend, for sub-calls (default: the model itself)",
            ),
            "magic": Flag(group="model", short="-s"),
        },
    ),
    _option(
        "price_in",
        "price",
        "price of 1M input tokens of --model",
        metavar="USD",
        doors={"run": Flag(group="limits")},
    ),
    _option(
        "price_out",
        "price",
        "price of 1M output tokens of --model",
        metavar="USD",
        doors={"run": Flag(group="limits")},
    ),
    # A recorded run.
    _option(
        "on_miss",
        "str | None",
        "what to do about a call without a recorded reply: error (end, and say what "
        "differs), live (ask the model), nearest (take the reply to the most similar prompt)",
        metavar="WHAT",
        choices=("error", "live", "nearest"),
        doors={"replay": Flag()},
    ),
    _option(
        "turn",
        "int | None",
        "the first turn that asks the model",
        metavar="N",
        doors={"replay": _LIVE},
    ),
    _switch("resume", "go on from the last whole turn", {"replay": _LIVE}),
    _option(
        "message",
        "str | None",
        "a message to the model before that turn",
        metavar="TEXT",
        doors={"replay": _LIVE},
    ),
    _option(
        "run",
        "int | None",
        "which run, if a .jsonl log holds several",
        metavar="N",
        doors={"replay": Flag(group="common")},
    ),
    # The notebook.
    _option(
        "var",
        "name",
        "a variable of the notebook to use as the context; several become a dict",
        metavar="NAME",
        doors={"magic": Flag(group="what", short="-v")},
    ),
    _option(
        "out",
        "name",
        "the variable for the result",
        metavar="NAME",
        doors={"magic": Flag(group="what", short="-o")},
    ),
    _environment("local", "a process of this user: no security boundary"),
    _environment("docker", "a container without network"),
    _environment("modal", "a Modal sandbox"),
    _switch("bg", "return at once; the value is the run's handle", {"magic": _HOW}),
    _switch("step", "ask before each of the model's cells: run, edit or stop", {"magic": _HOW}),
    # Output and files.
    _switch(
        "quiet",
        "print nothing but the answer, and errors",
        doors={
            "run": Flag(group="loudness"),
            "replay": Flag(group="loudness"),
            "demo": Flag(help="do not show the run as it happens"),
            "magic": Flag(group="what", help="show nothing (as does a ; ending the line)"),
        },
    ),
    _switch(
        "json",
        "print one JSON object: answer, status, model, turns, usage, time",
        doors={"run": _OUTPUT, "replay": _OUTPUT},
    ),
    _option(
        "save",
        "str | None",
        "save the run: .json or .ipynb (everything), .jsonl (a log), .html or .trace.json",
        metavar="PATH",
        doors={
            "run": _OUTPUT,
            "replay": _OUTPUT,
            "demo": Flag(
                help="save the run: .ipynb or .json (with its input, for `rlm replay`), .html, ..."
            ),
            "magic": _WHAT,
        },
    ),
    _option(
        "log_dir",
        "str | None",
        "write a .jsonl log there, line by line",
        metavar="DIR",
        doors={
            "run": _OUTPUT,
            "replay": _OUTPUT,
            "demo": Flag(help="the folder of the log (default: runs)"),
        },
    ),
    _switch(
        "dry_run",
        "say what a run would do (sizes, model, limits), without any call or kernel",
        doors={"run": _OUTPUT},
    ),
    _switch(
        "debug",
        "show tracebacks",
        doors={"run": _OUTPUT, "replay": Flag(group="common"), "demo": Flag(), "build": Flag()},
    ),
)
