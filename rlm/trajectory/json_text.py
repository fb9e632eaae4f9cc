"""Writes JSON that every reader can take: one line of UTF-8, whatever text it holds."""

from __future__ import annotations

import json
import math
from typing import Any

_LINE_ENDS = {"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def json_bytes(value: Any, *, default: Any = None, finite: bool = False) -> bytes:
    r"""Return a value as one line of JSON in UTF-8.

    Text is not escaped, so that people can read and search logs, with two exceptions: lone
    surrogates, which UTF-8 cannot hold, and U+0085, U+2028 and U+2029, which only some readers
    take for line ends.

    Args:
        value: JSON values.
        default: As in `json.dumps`: converts any other value.
        finite: Whether to write NaN and the infinities as strings, because JSON has none and only
            Python reads them back.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, default=default, allow_nan=not finite)
    except ValueError:
        if not finite:
            raise
        value = _finite(json.loads(json.dumps(value, default=default)))
        text = json.dumps(value, ensure_ascii=False)
    for character, escape in _LINE_ENDS.items():
        text = text.replace(character, escape)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, default=default).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value
