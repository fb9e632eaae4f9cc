"""Bounds how deeply a JSON value from a sandbox is nested: most code that reads it recurses."""

from __future__ import annotations

from typing import Any

MAX_LEVELS = 100
"""Lists and objects within each other that a sandbox may send."""


def too_deep(value: Any, levels: int = MAX_LEVELS) -> bool:
    """Return whether a JSON value has more than `levels` lists and objects within each other."""
    level = [value]
    for _ in range(levels + 1):
        inside: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inside.extend(item.values())
            elif isinstance(item, list | tuple):
                inside.extend(item)
        if not inside:
            return False
        level = inside
    return any(isinstance(item, dict | list | tuple) for item in level)
