"""What two executions of the same code print differently without meaning anything by it.

Masked are object addresses (``<Foo object at 0x7f3a5c1e2d90>``) and the names of a kernel's own
temporary files. Nothing else is: a time, a random number or a process id may be just what a cell
is about, so a difference in them is a difference.
"""

from __future__ import annotations

import re
from typing import Any

from rlm_kernel.recorded_calls import masked

__all__ = ["masked", "masked_value", "without_seconds"]

_SECONDS = re.compile(r"\d[\d,]*(?:\.\d+)? s\b")


def masked_value(value: Any) -> Any:
    """Return a JSON value with the noise of every text in it replaced."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, list | tuple):
        return [masked_value(item) for item in value]
    if isinstance(value, dict):
        return {key: masked_value(item) for key, item in value.items()}
    return value


def without_seconds(text: str) -> str:
    """Return one of our own sentences without the times that it names."""
    return _SECONDS.sub("... s", masked(text))
