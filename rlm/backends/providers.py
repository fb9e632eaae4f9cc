"""The table of providers: where each is, which variable holds its key, what its client takes."""

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
"""Keywords that every client on an SDK of its provider takes."""

ACCOUNT = ("organization", "project")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What sets one backend apart from the others.

    Attributes:
        name: The backend's name.
        sdk: The package that speaks to it.
        arguments: The `backend_kwargs` it takes.
        base_url: Its own address; None when the user must give one.
        hosts: Its own hosts (those below them included); what is meant for it may go there.
        variables: Prefix of the environment variables that configure it, such as ``"OPENAI"``.
        key_variable: The variable that holds its key; None when it has none.
        generic: Whether the backend is also used for any other server of the same API: such a
            server gets no key from the environment.
        reports_cost: Whether its replies say what they cost.
        body: Fields that each request to it carries.
        renames_max_tokens: Whether its models know `max_tokens` as `max_completion_tokens`.
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
"""No provider: a person's kernel, whose sub-call server has the models (see `notebook_client`)."""
