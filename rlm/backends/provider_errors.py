"""Makes errors of what goes wrong at a provider; each says what to do about it."""

from __future__ import annotations

import email.utils
import math
import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from rlm.backends.endpoint import EMPTY
from rlm.errors import BackendError, ContextWindowError
from rlm.secret_values import public_url, scrub

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rlm.backends.endpoint import Endpoint

LONGEST = 500
"""Characters of a provider's message that ours quotes."""

_RETRYABLE = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS,
)
_TOO_LONG = re.compile(
    r"context[_ ]length|context[_ ]window|context[_ ]size|context limit|maximum context"
    r"|prompt is too long|input is too long|string too long|max_model_len"
    r"|maximum number of tokens|(input|prompt).{0,40}exceeds? the .{0,20}(limit|maximum)"
    r"|reduce the length of the (messages|input|prompt)|too many (input )?tokens"
    r"|request_too_large|maximum (prompt|input) length",
    re.IGNORECASE,
)
_HOPELESS = re.compile(
    r"insufficient_quota|exceeded your current quota|request too large", re.IGNORECASE
)
_TAGS = re.compile(r"<(script|style).*?</\1>|<[^>]*>", re.DOTALL)


def from_status(
    endpoint: Endpoint,
    model: str,
    status: int,
    body: Any,
    headers: Mapping[str, str] | None = None,
) -> BackendError:
    """Return the error for a provider's refusal; `body` is its parsed JSON, or text."""
    headers = headers or {}
    said = provider_words(body)
    quoted = _quoted(said, endpoint) or "no message"
    backend = endpoint.provider.name
    first = f"{backend} answered HTTP {status} for the model {model!r}: {quoted}"
    if not first.endswith((".", "!", "?")):
        first += "."
    if status in {400, 413, 422, 500} and _TOO_LONG.search(said):
        return ContextWindowError(
            f"{first} The prompt is longer than the model takes: send less text at once.",
            backend=backend,
            model=model,
            status=status,
        )
    again = status in _RETRYABLE or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    used_up = status == HTTPStatus.TOO_MANY_REQUESTS and _HOPELESS.search(said)
    if headers.get("x-should-retry") == "false" or used_up:
        again = False
    return BackendError(
        " ".join(part for part in (first, _advice(endpoint, status, headers)) if part),
        backend=backend,
        model=model,
        status=status,
        retryable=again,
        retry_after=_retry_after(headers),
    )


def from_network(endpoint: Endpoint, model: str, cause: BaseException) -> BackendError:
    """Return the error for a request that got no complete reply."""
    backend = endpoint.provider.name
    if "Timeout" in type(cause).__name__:
        text = f"{backend} did not answer in time at {endpoint.shown} for the model {model!r}."
    else:
        inner: BaseException = cause
        while inner.__cause__ is not None:
            inner = inner.__cause__
        reason = scrub(str(inner) or type(inner).__name__, endpoint.secrets)[:LONGEST]
        text = (
            f"{backend} could not be reached at {endpoint.shown} for the model {model!r}: "
            f"{reason.rstrip('.')}. Check the network and base_url."
        )
    return _error(endpoint, model, text, retryable=True)


def malformed(endpoint: Endpoint, model: str, what: str) -> BackendError:
    """Return the error for a reply that breaks the API's format."""
    text = (
        f"{endpoint.provider.name} sent a malformed reply for the model {model!r}: "
        f"{_quoted(what, endpoint)} Check that base_url ({endpoint.shown}) is the API's."
    )
    return _error(endpoint, model, text, retryable=True)


def unsendable(endpoint: Endpoint, model: str, cause: Exception) -> BackendError:
    """Return the error for a request that the SDK could not build."""
    text = (
        f"The request to {endpoint.provider.name} for the model {model!r} could not be built: "
        f"{scrub(f'{type(cause).__name__}: {cause}', endpoint.secrets)[:LONGEST]}. "
        "Check backend_kwargs and sampling_args."
    )
    return _error(endpoint, model, text)


def cut(endpoint: Endpoint, model: str, characters: int) -> BackendError:
    """Return the error for a streamed reply that broke off."""
    backend = endpoint.provider.name
    text = f"{backend} broke off its reply for the model {model!r} after {characters:,} characters."
    return _error(endpoint, model, text, retryable=True)


def provider_words(body: Any) -> str:
    """Return the message in the body of an error, in any of the shapes that providers use."""
    if isinstance(body, list) and body:  # Gemini
        body = body[0]
    if not isinstance(body, dict):
        return " ".join(_TAGS.sub(" ", body).split()) if isinstance(body, str) else ""
    error = body.get("error", body)
    if not isinstance(error, dict):
        return str(error)
    message = error.get("message") or error.get("detail") or error.get("msg") or ""
    if isinstance(message, list):  # FastAPI; its `input` holds the whole prompt
        message = "; ".join(
            f"{i.get('loc')}: {i.get('msg')}" if isinstance(i, dict) else str(i) for i in message
        )
    code = error.get("code") or error.get("type") or ""
    words = [str(message)] if message else []
    if isinstance(code, str) and code and code not in str(message):
        words.append(f"({code})")
    raw = (error.get("metadata") or {}).get("raw") if isinstance(error.get("metadata"), dict) else 0
    if isinstance(raw, str) and raw:  # OpenRouter: the upstream provider's message
        words.append(f"[{raw}]")
    return " ".join(words)


def _error(endpoint: Endpoint, model: str, text: str, *, retryable: bool = False) -> BackendError:
    return BackendError(text, backend=endpoint.provider.name, model=model, retryable=retryable)


def _quoted(text: str, endpoint: Endpoint) -> str:
    text = scrub(text, endpoint.secrets)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a reply's headers ask to wait (RFC 9110, section 10.2.3)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except ValueError:
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def _advice(endpoint: Endpoint, status: int, headers: Mapping[str, str]) -> str:
    provider = endpoint.provider
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's range of redirects
        target = public_url(headers.get("location", "")) or "another address"
        return f"It redirects to {target}: set base_url to the address that answers."
    if status in {401, 403}:
        if endpoint.api_key == EMPTY and provider.name != "portkey":
            return (
                f"No key was sent to {endpoint.shown}, as none was given for that address: "
                "pass backend_kwargs['api_key']."
            )
        variable = provider.key_variable
        where = f"the environment variable {variable} or " if variable else ""
        return f"Check the key in {where}backend_kwargs['api_key']."
    return {
        402: "The account has no credit left.",
        404: f"Check model_name ({endpoint.shown} was asked).",
        429: "Its rate limit or the account's quota is used up.",
    }.get(status, "")
