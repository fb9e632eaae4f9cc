"""Decides where requests go, and which key and headers they carry.

These rules keep one provider's keys from another:

- A key given in `backend_kwargs` goes to the address in use, and nowhere else.
- Without one, the key comes from the provider's own variable. The backend's name decides which
  provider that is, even with another `base_url` (such as your own proxy). The exception is
  `openai`, because many servers have its API: with a `base_url` that is not OpenAI's, it sends
  the key `EMPTY`, as `vllm` always does.
- `OPENAI_*` variables are one configuration: the backend `openai` uses `OPENAI_BASE_URL`, the key,
  organisation, project and custom headers together, if no `base_url` is given or if it is
  OpenAI's own. No other backend reads them. The custom headers and tokens of `ANTHROPIC_*` follow
  the same rule.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rlm.backends.provider_env import ProviderEnvironment
from rlm.backends.providers import PROVIDERS, Provider
from rlm.errors import ConfigurationError, MissingKeyError
from rlm.secret_values import public_url, secret_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EMPTY = "EMPTY"
"""The key for a server that needs none, because the SDK requires one."""

AZURE_API_VERSION = "2024-10-21"
"""Azure's newest dated API version that is generally available."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a client sends its requests, with which key, headers and options.

    Attributes:
        provider: The backend's row of the table.
        base_url: The address; None when the SDK works it out (a data residency, a profile).
        api_key: The key; None when other credentials replace it.
        headers: Headers in addition to the SDK's; None removes one of the SDK's.
        options: Further keywords for the SDK's constructor.
        secrets: Texts to redact from every message.
    """

    provider: Provider
    base_url: str | None = field(repr=False)
    api_key: Any = field(repr=False)
    headers: dict[str, str | None] = field(repr=False)
    options: dict[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def shown(self) -> str:
        """The address without secrets."""
        address = self.base_url or self.options.get("azure_endpoint") or self.provider.name
        return public_url(str(address))


def resolve(provider: Provider, kwargs: Mapping[str, Any]) -> Endpoint:
    """Work out the endpoint of a backend on the `openai` or `anthropic` SDK."""
    env = ProviderEnvironment(provider)
    given = str(kwargs["base_url"]) if kwargs.get("base_url") else None
    env.applies = given is None or _is_own(provider, given)
    base_url = given or env.base_url() or provider.base_url
    headers: dict[str, str | None] = {
        **env.custom_headers(),
        **(kwargs.get("default_headers") or {}),
    }
    options: dict[str, Any] = {}

    if provider.name == "azure_openai":
        key = _azure(kwargs, env, options, given)
        base_url = given
    elif provider.name == "anthropic":
        key = _anthropic(kwargs, env, options)
        if not given and ("config" in options or "profile" in options):
            base_url = env.base_url()  # None: the profile's own
    elif kwargs.get("workload_identity") is not None:
        key = None
    else:
        key = kwargs.get("api_key") or _key_for(provider, base_url, env)
    if provider.name == "portkey":
        _portkey(kwargs, str(key), headers)
        key = EMPTY  # the gateway's key is in another header
    _account(provider, kwargs, env, options)
    for name in ("data_residency", "workload_identity", "webhook_secret", "websocket_base_url"):
        if kwargs.get(name) is not None:
            options[name] = kwargs[name]
    if options.get("data_residency") and given is None:
        base_url = None

    _check_sendable(key, provider)
    for name, value in headers.items():
        _check_sendable(value, provider, f"the header {name!r}")
    return Endpoint(
        provider=provider,
        base_url=base_url,
        api_key=key,
        headers=headers,
        options=options,
        secrets=tuple(_secrets(kwargs, key, headers, options)),
    )


def _is_own(provider: Provider, url: str) -> bool:
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    return parts.scheme == "https" and any(
        host == own or host.endswith(f".{own}") for own in provider.hosts
    )


def _key_for(provider: Provider, base_url: str | None, env: ProviderEnvironment) -> str:
    """Return the key from the environment that may go to an address, or `EMPTY`."""
    if provider.generic and not env.applies:
        # `openai` at another provider's address: that provider's key.
        if provider.name != "openai" or base_url is None:
            return EMPTY
        owner = next((p for p in PROVIDERS.values() if _is_own(p, base_url)), None)
        return (env.key(owner.key_variable) if owner else None) or EMPTY
    key = env.key()
    if key is None and provider.generic and not (base_url and _is_own(provider, base_url)):
        return EMPTY
    if key is None:
        raise _missing(provider)
    return key


def _missing(provider: Provider) -> MissingKeyError:
    return MissingKeyError(
        f"No API key for the backend {provider.name!r}: set the environment variable "
        f"{provider.key_variable}, or pass backend_kwargs['api_key']."
    )


def _account(
    provider: Provider, kwargs: Mapping[str, Any], env: ProviderEnvironment, options: dict[str, Any]
) -> None:
    """Add organisation and project: as given, or for OpenAI from its variables."""
    if provider.sdk != "openai":
        return
    openai = provider.name == "openai"
    options["organization"] = kwargs.get("organization") or (env.get("ORG_ID") if openai else None)
    options["project"] = kwargs.get("project") or (env.get("PROJECT_ID") if openai else None)


def _credential(
    kwargs: Mapping[str, Any],
    env: ProviderEnvironment,
    options: dict[str, Any],
    given_as: tuple[str, ...],
    token: tuple[str, str],
) -> str | None:
    """Choose one credential: return a key, or add another one to `options`.

    `token` is the variable and the option of a token, which the environment may have for a key.
    """
    given = [name for name in given_as if kwargs.get(name)]
    if len(given) > 1:
        raise ConfigurationError(
            f"Give the backend {env.provider.name!r} one credential, not {len(given)}: "
            f"{', '.join(given)}."
        )
    if given:
        options |= {name: kwargs[name] for name in given if name != "api_key"}
        return kwargs.get("api_key")
    key = env.key()
    if key is None:
        variable, option = token
        options[option] = env.get(variable)
        if options[option] is None:
            raise _missing(env.provider)
    return key


def _anthropic(
    kwargs: Mapping[str, Any], env: ProviderEnvironment, options: dict[str, Any]
) -> str | None:
    """Choose one credential: with one, the SDK does not look for others."""
    for name in ("middleware", "open_telemetry", "webhook_key"):
        if kwargs.get(name) is not None:
            options[name] = kwargs[name]
    names = ("api_key", "auth_token", "credentials", "config", "profile")
    return _credential(kwargs, env, options, names, ("AUTH_TOKEN", "auth_token"))


def _azure(
    kwargs: Mapping[str, Any],
    env: ProviderEnvironment,
    options: dict[str, Any],
    base_url: str | None,
) -> Any:
    """Choose Azure's address, version and credential; a `base_url` is the address of its v1 API."""
    env.applies = True  # each of Azure's customers has another address
    endpoint = kwargs.get("azure_endpoint") or (None if base_url else env.get("ENDPOINT"))
    if bool(endpoint) == bool(base_url):
        raise ConfigurationError(
            "The backend 'azure_openai' needs either backend_kwargs['azure_endpoint'], such as "
            "'https://NAME.openai.azure.com' (or the variable AZURE_OPENAI_ENDPOINT), or "
            "backend_kwargs['base_url']."
        )
    version = kwargs.get("api_version")
    if endpoint:
        options["azure_endpoint"] = endpoint
        version = version or env.get("API_VERSION") or AZURE_API_VERSION
        deployment = kwargs.get("azure_deployment") or env.get("DEPLOYMENT")
        if deployment:
            options["azure_deployment"] = deployment
    if version:
        options["api_version"] = version
    names = ("api_key", "azure_ad_token", "azure_ad_token_provider")
    return _credential(kwargs, env, options, names, ("AD_TOKEN", "azure_ad_token"))


def _portkey(kwargs: Mapping[str, Any], key: str, headers: dict[str, str | None]) -> None:
    """Add the headers that Portkey's SDK sends (Portkey's inference API, "Headers")."""
    # The gateway passes `Authorization` on to the provider: send none but the user's.
    headers.setdefault("Authorization", kwargs.get("Authorization"))
    headers["x-portkey-api-key"] = key
    for name in ("provider", "virtual_key", "config", "trace_id", "metadata"):
        value = kwargs.get(name)
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            headers[f"x-portkey-{name.replace('_', '-')}"] = text


def _check_sendable(value: object, provider: Provider, what: str | None = None) -> None:
    """Refuse a value that no HTTP header can hold, without showing it."""
    if isinstance(value, str) and not (value.isascii() and value.isprintable()):
        raise ConfigurationError(
            f"{what or 'The API key'} for the backend {provider.name!r} holds a line break or "
            "another character that cannot be sent. Check that you copied it correctly to "
            f"{provider.key_variable or 'backend_kwargs'}."
        )


def _secrets(
    kwargs: Mapping[str, Any], key: object, headers: Mapping[str, str | None], options: Any
) -> Iterable[str]:
    found = {*secret_values(kwargs), *secret_values(options)}
    found.update(value for value in headers.values() if value)
    if isinstance(key, str):
        found.add(key)
    return found - {EMPTY}
