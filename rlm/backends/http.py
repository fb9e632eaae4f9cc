"""The HTTP connections under an SDK: one pool a client, and a guard on what leaves through it."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import ModuleType

READ_TIMEOUT = 600.0
"""Seconds a provider may be silent: a plain request is silent until its reply is complete."""

CONNECT_TIMEOUT = 10.0
"""Seconds to establish a connection."""

IDLE_CONNECTIONS = 256
"""Kept open for the next call; how many run at once is the gate's affair."""

IDLE_SECONDS = 30.0

_SDK_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "anthropic-version",
        "api-key",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "transfer-encoding",
        "user-agent",
        "x-api-key",
    }
)


def http_module(sdk: ModuleType) -> ModuleType:
    """Return the HTTP package that an SDK is built on: `httpx2`, or `httpx` before it.

    Args:
        sdk: The imported `openai` or `anthropic`.
    """
    roots = (base.__module__.partition(".")[0] for base in sdk.DefaultAsyncHttpxClient.__mro__)
    return importlib.import_module(next(root for root in roots if root in {"httpx", "httpx2"}))


def timeouts(http: ModuleType, timeout: Any) -> Any:
    """Return an SDK's timeouts.

    Args:
        http: What `http_module` returned.
        timeout: Seconds of silence to bear; None for the default; or a timeout of `http`'s own.
    """
    if isinstance(timeout, http.Timeout):
        return timeout
    seconds = READ_TIMEOUT if timeout is None else float(timeout)
    # Waiting for a place in the pool is no fault of the provider: the gate sets the width.
    return http.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT), pool=None)


def connections(http: ModuleType, timeout: Any, own_headers: Iterable[str]) -> Any:
    """Return an HTTP client for an SDK to use.

    Redirects are not followed: a provider's API has none, and following one would carry the
    prompt, and headers that hold keys, to another host.

    Args:
        http: What `http_module` returned.
        timeout: What `timeouts` returned.
        own_headers: Names of the headers that the endpoint adds on purpose.
    """
    return http.AsyncClient(
        timeout=timeout,
        limits=http.Limits(
            max_connections=None,
            max_keepalive_connections=IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
        ),
        follow_redirects=False,
        verify=_certificates(http),
        event_hooks={"request": [_guard(frozenset(name.lower() for name in own_headers))]},
    )


@functools.cache
def _certificates(http: ModuleType) -> Any:
    # Reading the certificates takes most of the 50 ms that building a client costs.
    return http.create_ssl_context()


def _guard(own: frozenset[str]) -> Callable[[Any], Awaitable[None]]:
    """Return a hook that takes away every header that is neither ours nor the SDK's own.

    The SDKs add organisation, project and whatever else the environment holds by themselves,
    whoever the request is for, and another release may add more.
    """
    allowed = _SDK_HEADERS | own

    async def guard(request: Any) -> None:
        headers = request.headers
        for name in [n for n in headers if n not in allowed and not n.startswith("x-stainless-")]:
            del headers[name]

    return guard
