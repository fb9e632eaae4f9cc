"""The HTTP client under an SDK: its connection pool, and a filter on outgoing headers."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import ModuleType

READ_TIMEOUT = 600.0
"""Seconds without a byte from the provider; a plain request waits so long for its whole reply."""

CONNECT_TIMEOUT = 10.0
"""Seconds to establish a connection."""

IDLE_CONNECTIONS = 256
"""Connections kept open for later calls; the rate limiter bounds how many run at once."""

IDLE_SECONDS = 30.0
"""Seconds that an unused connection stays open."""

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
    """Return the HTTP package of the `openai` or `anthropic` SDK: `httpx2`, formerly `httpx`."""
    roots = (base.__module__.partition(".")[0] for base in sdk.DefaultAsyncHttpxClient.__mro__)
    return importlib.import_module(next(root for root in roots if root in {"httpx", "httpx2"}))


def timeouts(http: ModuleType, timeout: Any) -> Any:
    """Return the HTTP package's `Timeout` for seconds, for None (the default), or as given."""
    if isinstance(timeout, http.Timeout):
        return timeout
    seconds = READ_TIMEOUT if timeout is None else float(timeout)
    # A call never waits for the pool: the rate limiter bounds the number of calls.
    return http.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT), pool=None)


def connections(http: ModuleType, timeout: Any, own_headers: Iterable[str]) -> Any:
    """Return an HTTP client for an SDK that sends `own_headers` and the SDK's, and no others.

    It follows no redirects: a provider's API has none, and one would take the prompt and the
    headers with keys to another host.
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
    # Cached: reading the certificates takes most of the 50 ms that a new client takes.
    return http.create_ssl_context()


def _guard(own: frozenset[str]) -> Callable[[Any], Awaitable[None]]:
    """Return a hook that removes every header that is neither ours nor the SDK's.

    The SDKs add organisation, project and other headers from the environment to every request,
    to whatever provider, and a later release may add more.
    """
    allowed = _SDK_HEADERS | own

    async def guard(request: Any) -> None:
        headers = request.headers
        for name in [n for n in headers if n not in allowed and not n.startswith("x-stainless-")]:
            del headers[name]

    return guard
