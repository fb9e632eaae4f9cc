"""Reads sizes as people write them."""

from __future__ import annotations

import math
import re
from typing import Any

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def byte_count(name: str, value: Any) -> int:
    """Read a size such as 4e9, ``"4g"`` or ``"512 MiB"``; anything else is a `ValueError`."""
    match = None
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", value.lower())
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
        return int(value)
    if match is None or not float(match[1]):
        raise ValueError(f"{name} must be bytes or text such as '4g' or '512m', not {value!r}.")
    return int(float(match[1]) * _UNITS[match[2]])
