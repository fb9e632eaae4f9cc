"""The table of run options: every argument, key and flag that shapes a run, one row each.

`RLM`'s arguments and their checks, the flags of `rlm` and `%%rlm`, docs/options.md, and what a run
takes from a log are made of it; `tests/unit/test_run_options.py` holds it complete.
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
