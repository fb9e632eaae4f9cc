"""The rows for what only the command or the magic takes: none is an argument of `RLM`."""

from __future__ import annotations

from rlm.run_options.option import DOOR, Flag, RunOption

_OUTPUT = Flag(group="output")
_LIVE = Flag(group="live")
_WHAT = Flag(group="what")

DOOR_OPTIONS: tuple[RunOption, ...] = (
    RunOption(
        "context",
        "str | None",
        "what it is about: a file, a folder's text files, or stdin (-); without it the "
        "question is all there is",
        place=DOOR,
        metavar="FILE|DIR|-",
        doors={
            "run": Flag(),
            "replay": Flag(
                metavar="FILE|DIR",
                help="what the run was about, when the log does not hold it: text, JSON or "
                "bytes, as it was given; its hash must match",
            ),
        },
    ),
    RunOption(
        "sub_model",
        "str | None",
        "another model of the same backend, for sub-calls",
        place=DOOR,
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
    RunOption(
        "price_in",
        "price",
        "price of 1M input tokens of --model",
        place=DOOR,
        metavar="USD",
        doors={"run": Flag(group="limits")},
    ),
    RunOption(
        "price_out",
        "price",
        "price of 1M output tokens of --model",
        place=DOOR,
        metavar="USD",
        doors={"run": Flag(group="limits")},
    ),
    # A recorded run.
    RunOption(
        "on_miss",
        "str | None",
        "what to do about a call that the log has no reply to: error (end, and say what "
        "differs), live (ask the model), nearest (take the reply to the most similar prompt)",
        place=DOOR,
        metavar="WHAT",
        choices=("error", "live", "nearest"),
        doors={"replay": Flag()},
    ),
    RunOption(
        "turn",
        "int | None",
        "the first turn that the model is asked",
        place=DOOR,
        metavar="N",
        doors={"replay": _LIVE},
    ),
    RunOption(
        "resume",
        "bool",
        "go on from the last whole turn",
        place=DOOR,
        default=False,
        doors={"replay": _LIVE},
    ),
    RunOption(
        "message",
        "str | None",
        "what the model is told before that turn",
        place=DOOR,
        metavar="TEXT",
        doors={"replay": _LIVE},
    ),
    RunOption(
        "run",
        "int | None",
        "which run, of a .jsonl log of several",
        place=DOOR,
        metavar="N",
        doors={"replay": Flag(group="common")},
    ),
    # The notebook.
    RunOption(
        "var",
        "name",
        "a variable of the notebook: the context. Given again: a dict of all of them",
        place=DOOR,
        metavar="NAME",
        doors={"magic": Flag(group="what", short="-v")},
    ),
    RunOption(
        "out",
        "name",
        "the variable to put the result in",
        place=DOOR,
        metavar="NAME",
        doors={"magic": Flag(group="what", short="-o")},
    ),
    RunOption(
        "local",
        help="a process of yours: no boundary",
        place=DOOR,
        sets="environment",
        doors={"magic": Flag(group="environment")},
    ),
    RunOption(
        "docker",
        help="a container without network",
        place=DOOR,
        sets="environment",
        doors={"magic": Flag(group="environment")},
    ),
    RunOption(
        "modal",
        help="a Modal sandbox",
        place=DOOR,
        sets="environment",
        doors={"magic": Flag(group="environment")},
    ),
    RunOption(
        "bg",
        "bool",
        "return at once; the value is the run's handle",
        place=DOOR,
        default=False,
        doors={"magic": Flag(group="how")},
    ),
    RunOption(
        "step",
        "bool",
        "ask before each cell of the model's: run, edit, stop",
        place=DOOR,
        default=False,
        doors={"magic": Flag(group="how")},
    ),
    # What becomes of the run.
    RunOption(
        "quiet",
        "bool",
        "print nothing but the answer, and errors",
        place=DOOR,
        default=False,
        doors={
            "run": Flag(group="loudness"),
            "replay": Flag(group="loudness"),
            "demo": Flag(help="do not show the run as it happens"),
            "magic": Flag(group="what", help="show nothing (as does a ; ending the line)"),
        },
    ),
    RunOption(
        "json",
        "bool",
        "print one JSON object: answer, status, model, turns, usage, time",
        place=DOOR,
        default=False,
        doors={"run": _OUTPUT, "replay": _OUTPUT},
    ),
    RunOption(
        "save",
        "str | None",
        "save the run: .json or .ipynb (everything), .jsonl (a log), .html or .trace.json",
        place=DOOR,
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
    RunOption(
        "log_dir",
        "str | None",
        "write a .jsonl log there, line by line",
        place=DOOR,
        metavar="DIR",
        doors={
            "run": _OUTPUT,
            "replay": _OUTPUT,
            "demo": Flag(help="where the log goes (default: runs)"),
        },
    ),
    RunOption(
        "dry_run",
        "bool",
        "say what would be done (sizes, model, limits); no call, no kernel",
        place=DOOR,
        default=False,
        doors={"run": _OUTPUT},
    ),
    RunOption(
        "debug",
        "bool",
        "show tracebacks",
        place=DOOR,
        default=False,
        doors={"run": _OUTPUT, "replay": Flag(group="common"), "demo": Flag(), "build": Flag()},
    ),
)
