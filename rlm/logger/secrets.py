"""Keeping keys out of logs: what is left of keyword arguments when secrets are taken out."""

from __future__ import annotations

import re
from typing import Any

_SECRET_NAME = re.compile(
    r"""(api|access|private|secret|signing|subscription|virtual|account|auth|license)_?key
    | ^key$ | secret | passw | passphrase | credential | authorization | ^auth$ | bearer | cookie
    | (^|_)token$ | (access|auth|id|refresh|session|security)_?token""",
    re.VERBOSE,
)
_SECRET_VALUE = re.compile(
    r"""\b(?:sk|pk|rk|gsk|hf|xai|pplx)[-_][A-Za-z0-9_-]{16,} | \bAIza[A-Za-z0-9_-]{30,}
    | \bBearer\s+\S+ | (?<=://)[^/@\s]+(?=@)
    | (?<=[?&])(?:api_?key|key|token|sig|signature|code)=[^&\s]+""",
    re.VERBOSE | re.IGNORECASE,
)


def without_secrets(value: Any) -> Any:
    """Return a copy of keyword arguments, as JSON values, that is fit to be written down.

    Entries whose name says that they hold a secret are left out; keys within
    strings, such as in a URL, become ``***``. The engine gives out public values
    already; this is the second lock on the same door.

    Args:
        value: Keyword arguments, or any value among them.
    """
    if isinstance(value, dict):
        return {
            str(name): without_secrets(item)
            for name, item in value.items()
            if not _SECRET_NAME.search(_snake(str(name)))
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [without_secrets(item) for item in value]
    if isinstance(value, str):
        return _SECRET_VALUE.sub("***", value)
    if value is None or isinstance(value, bool | int | float):
        return value
    # Not repr(): a client object's own may show its key.
    return f"<{type(value).__name__}>"


def _snake(name: str) -> str:
    """Return a name in one spelling: ``apiKey`` and ``API-Key`` become ``api_key``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
