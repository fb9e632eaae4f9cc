"""The table of providers: address, key variable, and keywords of the client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SDK = Literal["openai", "anthropic", "litellm", "notebook"]

COMMON = (
    "model_name",
    "api_key",
    "base_url",
    "timeout",
    "max_retries",
    "default_headers",
    "default_query",
    "http_client",
    "sampling_args",
)
"""Keywords that every client on the `openai` or `anthropic` SDK takes."""

ACCOUNT = ("organization", "project")
"""Keywords that say which account pays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """How one backend differs from the others.

    Attributes:
        name: The backend's name.
        sdk: The package that its client uses.
        arguments: The keys of `backend_kwargs` that it takes.
        base_url: Its address; None if the user must give one.
        hosts: Its hosts, subdomains included; its key may go there.
        variables: The prefix of its environment variables, such as ``"OPENAI"``.
        key_variable: The environment variable with its key; None if it has none.
        generic: Whether people use the backend for other servers of the same API too: such a
            server gets no key from the environment.
        reports_cost: Whether its replies report their cost.
        body: Fields of every request to it.
        renames_max_tokens: Whether its models call `max_tokens` `max_completion_tokens`.
    """

    name: str
    sdk: SDK
    arguments: tuple[str, ...]
    base_url: str | None = None
    hosts: tuple[str, ...] = ()
    variables: str | None = None
    key_variable: str | None = None
    generic: bool = False
    reports_cost: bool = False
    body: dict[str, Any] = field(default_factory=dict)
    renames_max_tokens: bool = False


_ALL = (
    Provider(
        name="openai",
        sdk="openai",
        arguments=(
            *COMMON,
            *ACCOUNT,
            "admin_api_key",
            "data_residency",
            "webhook_secret",
            "websocket_base_url",
            "workload_identity",
        ),
        base_url="https://api.openai.com/v1",
        hosts=("api.openai.com",),
        variables="OPENAI",
        key_variable="OPENAI_API_KEY",
        generic=True,
        renames_max_tokens=True,
    ),
    Provider(
        name="anthropic",
        sdk="anthropic",
        arguments=(
            *COMMON,
            "auth_token",
            "config",
            "credentials",
            "max_tokens",
            "middleware",
            "open_telemetry",
            "profile",
            "webhook_key",
        ),
        base_url="https://api.anthropic.com",
        hosts=("api.anthropic.com",),
        variables="ANTHROPIC",
        key_variable="ANTHROPIC_API_KEY",
    ),
    Provider(
        name="portkey",
        sdk="openai",
        arguments=(
            *COMMON,
            "Authorization",
            "config",
            "metadata",
            "provider",
            "trace_id",
            "virtual_key",
        ),
        base_url="https://api.portkey.ai/v1",
        hosts=("api.portkey.ai",),
        key_variable="PORTKEY_API_KEY",
    ),
    Provider(
        name="openrouter",
        sdk="openai",
        arguments=COMMON,
        base_url="https://openrouter.ai/api/v1",
        hosts=("openrouter.ai",),
        key_variable="OPENROUTER_API_KEY",
        reports_cost=True,
        body={"usage": {"include": True}},
    ),
    Provider(
        name="litellm",
        sdk="litellm",
        arguments=(
            "model_name",
            "api_key",
            "api_base",
            "api_version",
            "aws_access_key_id",
            "aws_region_name",
            "aws_secret_access_key",
            "aws_session_token",
            "base_url",
            "custom_llm_provider",
            "default_headers",
            "drop_params",
            "max_retries",
            "organization",
            "sampling_args",
            "timeout",
            "vertex_credentials",
            "vertex_location",
            "vertex_project",
        ),
        reports_cost=True,
    ),
    Provider(name="vllm", sdk="openai", arguments=(*COMMON, *ACCOUNT), generic=True),
    Provider(
        name="azure_openai",
        sdk="openai",
        arguments=(
            *COMMON,
            *ACCOUNT,
            "api_version",
            "azure_ad_token",
            "azure_ad_token_provider",
            "azure_deployment",
            "azure_endpoint",
        ),
        variables="AZURE_OPENAI",
        key_variable="AZURE_OPENAI_API_KEY",
        renames_max_tokens=True,
    ),
    Provider(
        name="gemini",
        sdk="openai",
        arguments=COMMON,
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        hosts=("generativelanguage.googleapis.com",),
        key_variable="GEMINI_API_KEY",
    ),
    Provider(
        name="vercel",
        sdk="openai",
        arguments=COMMON,
        base_url="https://ai-gateway.vercel.sh/v1",
        hosts=("ai-gateway.vercel.sh",),
        key_variable="AI_GATEWAY_API_KEY",
    ),
)

PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in _ALL}
"""Every backend by its name."""

NOTEBOOK = Provider(name="notebook", sdk="notebook", arguments=("model_name",))
"""No provider: the models of a notebook kernel's sub-call server (see `notebook_client`)."""
