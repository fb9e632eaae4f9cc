"""The rows for what only the command or the magic takes: none is an argument of `RLM`."""

from __future__ import annotations

from rlm.run_options.option import DOOR, Flag, RunOption

_OUTPUT = Flag(group="output")
_LIVE = Flag(group="live")
_WHAT = Flag(group="what")

DOOR_OPTIONS: tuple[RunOption, ...] = (
    RunOption(
        name="context",
        place=DOOR,
        type="str | None",
        metavar="FILE|DIR|-",
        help="what it is about: a file, a folder's text files, or stdin (-); without it the "
        "question is all there is",
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
        name="sub_model",
        place=DOOR,
        type="str | None",
        metavar="NAME",
        help="another model of the same backend, for sub-calls",
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
        name="price_in",
        place=DOOR,
        type="price",
        metavar="USD",
        help="price of 1M input tokens of --model",
        doors={"run": Flag(group="limits")},
    ),
    RunOption(
        name="price_out",
        place=DOOR,
        type="price",
        metavar="USD",
        help="price of 1M output tokens of --model",
        doors={"run": Flag(group="limits")},
    ),
    # A recorded run.
    RunOption(
        name="on_miss",
        place=DOOR,
        type="str | None",
        metavar="WHAT",
        choices=("error", "live", "nearest"),
        help="what to do about a call that the log has no reply to: error (end, and say what "
        "differs), live (ask the model), nearest (take the reply to the most similar prompt)",
        doors={"replay": Flag()},
    ),
    RunOption(
        name="turn",
        place=DOOR,
        type="int | None",
        metavar="N",
        help="the first turn that the model is asked",
        doors={"replay": _LIVE},
    ),
    RunOption(
        name="resume",
        place=DOOR,
        type="bool",
        default=False,
        help="go on from the last whole turn",
        doors={"replay": _LIVE},
    ),
    RunOption(
        name="message",
        place=DOOR,
        type="str | None",
        metavar="TEXT",
        help="what the model is told before that turn",
        doors={"replay": _LIVE},
    ),
    RunOption(
        name="run",
        place=DOOR,
        type="int | None",
        metavar="N",
        help="which run, of a .jsonl log of several",
        doors={"replay": Flag(group="common")},
    ),
    # The notebook.
    RunOption(
        name="var",
        place=DOOR,
        type="name",
        metavar="NAME",
        help="a variable of the notebook: the context. Given again: a dict of all of them",
        doors={"magic": Flag(group="what", short="-v")},
    ),
    RunOption(
        name="out",
        place=DOOR,
        type="name",
        metavar="NAME",
        help="the variable to put the result in",
        doors={"magic": Flag(group="what", short="-o")},
    ),
    RunOption(
        name="local",
        place=DOOR,
        sets="environment",
        help="a process of yours: no boundary",
        doors={"magic": Flag(group="environment")},
    ),
    RunOption(
        name="docker",
        place=DOOR,
        sets="environment",
        help="a container without network",
        doors={"magic": Flag(group="environment")},
    ),
    RunOption(
        name="modal",
        place=DOOR,
        sets="environment",
        help="a Modal sandbox",
        doors={"magic": Flag(group="environment")},
    ),
    RunOption(
        name="bg",
        place=DOOR,
        type="bool",
        default=False,
        help="return at once; the value is the run's handle",
        doors={"magic": Flag(group="how")},
    ),
    RunOption(
        name="step",
        place=DOOR,
        type="bool",
        default=False,
        help="ask before each cell of the model's: run, edit, stop",
        doors={"magic": Flag(group="how")},
    ),
    # What becomes of the run.
    RunOption(
        name="quiet",
        place=DOOR,
        type="bool",
        default=False,
        help="print nothing but the answer, and errors",
        doors={
            "run": Flag(group="loudness"),
            "replay": Flag(group="loudness"),
            "demo": Flag(help="do not show the run as it happens"),
            "magic": Flag(group="what", help="show nothing (as does a ; ending the line)"),
        },
    ),
    RunOption(
        name="json",
        place=DOOR,
        type="bool",
        default=False,
        help="print one JSON object: answer, status, model, turns, usage, time",
        doors={"run": _OUTPUT, "replay": _OUTPUT},
    ),
    RunOption(
        name="save",
        place=DOOR,
        type="str | None",
        metavar="PATH",
        help="save the run: .json or .ipynb (everything), .jsonl (a log), .html or .trace.json",
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
        name="log_dir",
        place=DOOR,
        type="str | None",
        metavar="DIR",
        help="write a .jsonl log there, line by line",
        doors={
            "run": _OUTPUT,
            "replay": _OUTPUT,
            "demo": Flag(help="where the log goes (default: runs)"),
        },
    ),
    RunOption(
        name="dry_run",
        place=DOOR,
        type="bool",
        default=False,
        help="say what would be done (sizes, model, limits); no call, no kernel",
        doors={"run": _OUTPUT},
    ),
    RunOption(
        name="debug",
        place=DOOR,
        type="bool",
        default=False,
        help="show tracebacks",
        doors={
            "run": _OUTPUT,
            "replay": Flag(group="common"),
            "demo": Flag(),
            "build": Flag(),
        },
    ),
)
