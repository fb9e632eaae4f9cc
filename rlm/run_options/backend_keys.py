"""The rows for the keys of `backend_kwargs` and `sampling_args`."""

from __future__ import annotations

from rlm.run_options.option import BACKEND, SAMPLING, Flag, FromLog, RunOption

ANY_KEY = "*"
"""The name of the row for keys that have no row."""


def _key(
    name: str, kind: str, meaning: str, from_log: FromLog = "given again", *, address: bool = False
) -> RunOption:
    return RunOption(name, kind, meaning, place=BACKEND, from_log=from_log, address=address)


def _sampling(name: str, kind: str, meaning: str) -> RunOption:
    return RunOption(name, kind, meaning, place=SAMPLING, from_log="taken")


BACKEND_KEYS: tuple[RunOption, ...] = (
    RunOption(
        "model_name",
        "str",
        "the model that is asked turn by turn",
        place=BACKEND,
        flag="model",
        metavar="NAME",
        from_log="taken",
        environ="RLM_MODEL",
        trait="model",
        doors={
            "run": Flag(group="model"),
            "replay": Flag(group="live", help="another model (default: as recorded)"),
            "demo": Flag(help="the real model's name"),
            "magic": Flag(group="model", short="-m"),
        },
    ),
    RunOption(
        "base_url",
        "str",
        "the API's address, if not the provider's own",
        place=BACKEND,
        metavar="URL",
        address=True,
        trait="base_url",
        doors={
            "run": Flag(group="model"),
            "replay": Flag(group="live", help="another address of the API"),
            "demo": Flag(),
            "magic": Flag(group="model"),
        },
    ),
    _key("timeout", "float | None", "seconds that a provider may be silent", "taken"),
    _key("max_retries", "int", "how often a failed request is sent again", "taken"),
    _key("max_tokens", "int | None", "the longest reply of a Claude model, in tokens", "taken"),
    _key("sampling_args", "dict[str, Any] | None", "fields of every request", "taken"),
    # Names of accounts, providers and versions: no secrets.
    _key("organization", "str | None", "the account's organisation", "taken"),
    _key("project", "str | None", "the account's project", "taken"),
    _key("provider", "str | None", "Portkey: the provider behind it", "taken"),
    _key("metadata", "dict[str, str] | str | None", "Portkey: labels of requests", "taken"),
    _key("trace_id", "str | None", "Portkey: the trace of requests", "taken"),
    _key("api_version", "str | None", "the API's version", "taken"),
    _key("azure_deployment", "str | None", "the deployment of the model", "taken"),
    _key("custom_llm_provider", "str | None", "LiteLLM: the provider", "taken"),
    _key("drop_params", "bool | None", "LiteLLM: leave out fields a model does not take", "taken"),
    _key("vertex_project", "str | None", "the Google Cloud project", "taken"),
    # Addresses: where requests go, and keys with them.
    _key("api_base", "str | None", "LiteLLM: the API's address", address=True),
    _key("azure_endpoint", "str | None", "the resource's address", address=True),
    _key("websocket_base_url", "str | None", "the address of the realtime API", address=True),
    _key("data_residency", "str | None", "the region that answers", address=True),
    _key("aws_region_name", "str | None", "the AWS region", address=True),
    _key("vertex_location", "str | None", "the Google Cloud region", address=True),
    # Keys, headers, clients and local files with credentials.
    _key("api_key", "str | None", "the key; else the provider's environment variable is read"),
    _key("admin_api_key", "str | None", "the key of the admin API"),
    _key("auth_token", "str | None", "a token in place of a key"),
    _key("Authorization", "str | None", "Portkey: the header of that name"),
    _key("virtual_key", "str | None", "Portkey: the name of a stored key"),
    _key("azure_ad_token", "str | None", "a token of Entra ID"),
    _key("azure_ad_token_provider", "Callable[[], str] | None", "called for such a token"),
    _key("workload_identity", "Any", "an identity in place of a key"),
    _key("credentials", "Any", "Anthropic: credentials in place of a key"),
    _key("config", "Any", "Portkey: a gateway config; Anthropic: a client config"),
    _key("profile", "str | None", "Anthropic: the profile that holds credentials"),
    _key("aws_access_key_id", "str | None", "the AWS key's id"),
    _key("aws_secret_access_key", "str | None", "the AWS key"),
    _key("aws_session_token", "str | None", "the AWS session's token"),
    _key("vertex_credentials", "str | None", "the Google Cloud credentials, or their file"),
    _key("webhook_secret", "str | None", "the secret of webhooks"),
    _key("webhook_key", "str | None", "the key of webhooks"),
    _key("default_headers", "dict[str, str] | None", "headers of every request"),
    _key("default_query", "dict[str, str] | None", "query parameters of every request"),
    _key("http_client", "Any", "an HTTP client in place of ours"),
    _key("middleware", "Any", "Anthropic: called with every request"),
    _key("open_telemetry", "Any", "Anthropic: the SDK's traces"),
)

SAMPLING_KEYS: tuple[RunOption, ...] = (
    _sampling("temperature", "float", "how random a reply is"),
    _sampling("top_p", "float", "the share of likely words to choose from"),
    _sampling("max_tokens", "int", "the longest reply, in tokens"),
    _sampling("max_completion_tokens", "int", "the longest reply, reasoning included, in tokens"),
    _sampling("seed", "int", "the random seed, where the provider has one"),
    _sampling("stop", "str | list[str]", "text that ends a reply"),
    _sampling("presence_penalty", "float", "how much to avoid words already used"),
    _sampling("frequency_penalty", "float", "how much to avoid words already used often"),
    _sampling("reasoning_effort", "str", "how long a reasoning model thinks"),
    # What an SDK adds to a request as it stands: a header may name the host that a gateway asks.
    *(
        RunOption(name, "dict | None", meaning, place=SAMPLING)
        for name, meaning in (
            ("extra_headers", "headers of every request"),
            ("extra_query", "query parameters of every request"),
            ("extra_body", "fields of every request that the SDK does not know"),
        )
    ),
    RunOption("api_key", "str | None", "litellm: the key of every request", place=SAMPLING),
    _sampling(ANY_KEY, "Any", "any other field of the provider's request"),
)
