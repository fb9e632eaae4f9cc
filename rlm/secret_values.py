"""Finds the secrets in a configuration, and says what of it may be shown."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MASK = "***"
SHORTEST = 6
"""A shorter value is no key: to replace it everywhere would garble the text."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# `max_tokens`, `stop_token_ids` and `budget_tokens` are figures: hence whole words.
_SECRET_NAME = re.compile(
    r"(^|_)(key|keys|key_id|apikey|token|token_provider|auth|authorization|sig"
    r"|signature|headers?|config|identity|pwd|proxy)$"
    r"|secret|passw|passphrase|credential|bearer|cookie|authentication"
    r"|(api|access|private|signing|subscription|virtual|account|auth|license)_?key"
    r"|(access|auth|refresh|session|security)_?token|^(key|auth|workload_identity)(_|$)"
)
_KEY_NAME = re.compile(
    r"(^|_)(key|keys|key_id|apikey|token|auth|authorization|sig|signature|pwd)$"
    r"|secret|passw|passphrase|credential|bearer|cookie"
)
"""Names whose value is a secret itself; the value of other secret names only contains some."""

_FILE_NAME = re.compile(r"(file|path)$")
"""Names of values that are the path of a secret's file."""

LONG = 12
"""A secret with at least so many characters is masked in every text: it cannot be a word."""

_NAMES_ONLY = re.compile(r"(^|_)(env|environ|headers|query)$")
"""Mappings whose keys the user chose: a key says nothing about its value."""

_KEY_SHAPED = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ghp|vck|pplx)[-_][A-Za-z0-9*_\-]{6,}|\bAIza[A-Za-z0-9_\-]{20,}"
    r"|\b(?i:bearer)\s+[A-Za-z0-9._~+/=*\-]{6,}"
    r"|(?<=://)[^/@\s]+(?=@)|(?i:(?<=[?&])(?:api_?key|key|token|sig|signature|code)=[^&\s]+)"
)


def is_secret_name(name: str) -> bool:
    """Whether a keyword, header or query parameter of this name may hold a secret."""
    return _SECRET_NAME.search(_snake(name)) is not None


def public_kwargs(backend_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what may be shown and logged of these keywords (or an environment's), as JSON values.

    Keys, tokens and the like are left out at any depth, and so are the user and the secret query
    parameters of URLs. Environment variables, headers and query parameters keep their names only.
    A value that JSON cannot hold becomes the name of its type. Doing this twice changes nothing
    more.

    Args:
        backend_kwargs: The keywords; None is an empty dict.
    """
    kwargs = dict(backend_kwargs or {})
    return _public_items(kwargs, tuple(secret_values(kwargs)))


def secret_values(value: Any, *, secret: bool = False) -> Iterator[str]:
    """Yield every text that has a secret name, or is somewhere inside a value that has one.

    Args:
        value: Keywords, headers or anything inside them.
        secret: Whether `value` itself is inside such a value.
    """
    if isinstance(value, dict):
        for name, item in value.items():
            hidden = is_secret_name(str(name)) or _names_only(name)
            yield from secret_values(item, secret=secret or hidden)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from secret_values(item, secret=secret)
    elif isinstance(value, str):
        if secret:
            yield value
        if "://" in value:
            yield from _url_secrets(value)


def long_secrets(value: Any, name: str = "") -> Iterator[str]:
    """Yield the secrets, at any depth, that are long enough to be masked in every text.

    Args:
        value: Keywords, headers, environment variables or anything inside them.
        name: The name of `value`.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            yield from long_secrets(item, str(key))
    elif isinstance(value, (list, tuple)):
        for item in value:
            # Modal's `secrets` are names, or mappings of which all is secret.
            if name != "secrets":
                yield from long_secrets(item, name)
            elif isinstance(item, dict):
                yield from _long(part for part in item.values() if isinstance(part, str))
    elif isinstance(value, str):
        if _KEY_NAME.search(_snake(name)) and not _is_file(name, value):
            yield from _long(dict.fromkeys((value, value.rpartition(" ")[2])))  # Bearer KEY
        if "://" in value:
            yield from _long(_url_secrets(value))


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without the given secrets, and without anything that looks like a key."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST:
            for spelling in sorted(spellings(secret, SHORTEST), key=len, reverse=True):
                text = text.replace(spelling, MASK)
    return _KEY_SHAPED.sub(MASK, text)


def spellings(secret: str, shortest: int = LONG) -> set[str]:
    """Return how a text may spell a secret: as it is, in a URL, or quoted in JSON or Python.

    A password from a URL is also a secret without the URL's escapes. Spellings of fewer than
    `shortest` characters are left out: they may mean something else.
    """
    spelled = {
        secret,
        unquote(secret),
        quote(secret, safe="", errors="replace"),  # A lone surrogate must not fail.
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    }
    return {spelling for spelling in spelled if len(spelling) >= shortest}


def public_url(url: str) -> str:
    """Return a URL without its user, password and secret query parameters."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        query = [
            (name, value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if not is_secret_name(name)
        ]
    except ValueError:
        return MASK
    return urlunsplit((parts.scheme, host, parts.path, urlencode(query), ""))


def _url_secrets(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        if parts.password:
            yield parts.password
        if parts.username:
            yield parts.username
        for name, value in parse_qsl(parts.query):
            if is_secret_name(name):
                yield value
    except ValueError:
        return


def _long(secrets: Iterable[str]) -> Iterator[str]:
    return (secret for secret in secrets if len(secret) >= LONG)


def _is_file(name: str, value: str) -> bool:
    """Whether a value is the path of a secret's file: a secret may begin with "/", too."""
    # `Path.exists` raises for a text that is too long for a path, and in folders we may not read.
    return value.startswith("/") and (
        _FILE_NAME.search(_snake(name)) is not None or os.path.exists(value)  # noqa: PTH110
    )


def _names_only(name: object) -> bool:
    return _NAMES_ONLY.search(_snake(str(name))) is not None


def _snake(name: str) -> str:
    return _CAMEL.sub("_", name).replace("-", "_").lower()


def _public_items(kwargs: Mapping[Any, Any], secrets: tuple[str, ...]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in kwargs.items():
        if _names_only(name):
            if isinstance(value, dict):
                shown[str(name)] = {str(inner): MASK for inner in value}
        elif not is_secret_name(str(name)):
            shown[str(name)] = _public(value, secrets)
    return shown


def _public(value: Any, secrets: tuple[str, ...]) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return scrub(public_url(value) if "://" in value else value, secrets)
    if isinstance(value, dict):
        return _public_items(value, secrets)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_public(item, secrets) for item in value]
    return f"<{type(value).__name__}>"
