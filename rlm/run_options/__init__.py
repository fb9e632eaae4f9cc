"""The table of run options: every argument, key and flag that shapes a run, one row each.

It is the source of `RLM`'s arguments and their checks, of the flags of `rlm` and `%%rlm`, of
docs/options.md, and of what a run takes from a log. `tests/unit/test_run_options.py` keeps it
complete.
"""

from rlm.run_options.option import (
    ARGUMENT,
    BACKEND,
    DOOR,
    ENVIRONMENT,
    SAMPLING,
    Door,
    Place,
    RunOption,
)
from rlm.run_options.table import OPTIONS, key_option, logged_in, option

__all__ = [
    "ARGUMENT",
    "BACKEND",
    "DOOR",
    "ENVIRONMENT",
    "OPTIONS",
    "SAMPLING",
    "Door",
    "Place",
    "RunOption",
    "key_option",
    "logged_in",
    "option",
]
