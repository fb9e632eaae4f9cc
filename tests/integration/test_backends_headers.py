"""Nothing meant for one provider reaches another: requests of every backend, read at a server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from rlm.backends import BACKENDS, create
from rlm.demo.server import LMResponse
from rlm.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.demo.server import LMRequest, StandInServer

    Start = Callable[..., StandInServer]

OWN = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "portkey": "PORTKEY_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "vercel": "AI_GATEWAY_API_KEY",
    "azure_openai": "AZURE_OPENAI_API_KEY",
    "gemini": "GEMINI_API_KEY",
}
KEYS = {name: f"planted-{name.lower()}" for name in OWN.values()}
AMBIENT = {
    "OPENAI_ORG_ID": "planted-org",
    "OPENAI_ORGANIZATION": "planted-organization",
    "OPENAI_PROJECT_ID": "planted-project",
    "OPENAI_ADMIN_KEY": "planted-admin",
    "OPENAI_WEBHOOK_SECRET": "planted-webhook",
    "OPENAI_CUSTOM_HEADERS": "X-Planted: planted-custom\nauthorization: Bearer planted-custom-auth",
    "OPENAI_API_VERSION": "planted-version",
    "AZURE_OPENAI_AD_TOKEN": "planted-ad-token",
    "ANTHROPIC_AUTH_TOKEN": "planted-auth-token",
    "ANTHROPIC_CUSTOM_HEADERS": "X-Planted: planted-anthropic-custom",
    "ANTHROPIC_PROFILE": "planted-profile",
    "ANTHROPIC_WEBHOOK_SIGNING_KEY": "planted-signing",
    "GOOGLE_API_KEY": "planted-google",
    "LITELLM_API_KEY": "planted-litellm",
}
# Nobody listens there: a request that followed one of these would fail.
ELSEWHERE = {
    "OPENAI_BASE_URL": "http://127.0.0.1:9/planted",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:9/planted",
    "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:9/planted",
}


@pytest.fixture
def everything_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**KEYS, **AMBIENT, **ELSEWHERE}.items():
        monkeypatch.setenv(name, value)


def address(backend: str, server: StandInServer) -> dict[str, str]:
    if backend == "azure_openai":
        return {"azure_endpoint": server.url}
    return {"base_url": server.url if backend == "anthropic" else server.base_url}


def ask(backend: str, kwargs: dict[str, Any]) -> None:
    async def run() -> None:
        client = create(backend, {"model_name": "m", **kwargs})
        try:
            for stream in (False, True):
                await client.complete([{"role": "user", "content": "hello"}], stream=stream)
        finally:
            await client.close()

    asyncio.run(run())


def planted(request: LMRequest) -> set[str]:
    """Return every planted value that a request carries, wherever it carries it."""
    sent = json.dumps([request.path, request.headers, request.body])
    values = {*KEYS.values(), *AMBIENT.values(), "planted-custom", "planted-custom-auth"}
    return {value for value in values if value in sent}


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "litellm"])
@pytest.mark.usefixtures("everything_set")
def test_a_backend_sends_its_key_and_no_other(server: Start, backend: str) -> None:
    standin = server(lambda _: "hello")
    ask(backend, address(backend, standin))
    keyless = backend in {"openai", "vllm"}
    expected = set() if keyless else {KEYS[OWN[backend]]}
    assert len(standin.requests) == 2
    for request in standin.requests:
        assert planted(request) == expected
        assert "openai-organization" not in request.headers
        assert "openai-project" not in request.headers
        if keyless:
            assert request.headers["authorization"] == "Bearer EMPTY"


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "litellm"])
@pytest.mark.usefixtures("everything_set")
def test_a_given_key_takes_precedence_over_every_variable(server: Start, backend: str) -> None:
    standin = server(lambda _: "hello")
    ask(backend, {**address(backend, standin), "api_key": "given-by-the-user"})
    for request in standin.requests:
        assert planted(request) == set()
        assert "given-by-the-user" in json.dumps(request.headers)


@pytest.mark.usefixtures("everything_set")
def test_openais_variables_are_used_together_when_no_base_url_is_given(
    server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin = server(lambda _: "hello")
    monkeypatch.setenv("OPENAI_BASE_URL", standin.base_url)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Planted: planted-custom")
    ask("openai", {})
    for request in standin.requests:
        assert request.headers["authorization"] == f"Bearer {KEYS['OPENAI_API_KEY']}"
        assert request.headers["openai-organization"] == "planted-org"
        assert request.headers["openai-project"] == "planted-project"
        assert request.headers["x-planted"] == "planted-custom"
        assert "planted-admin" not in json.dumps(request.headers)


@pytest.mark.parametrize(
    "backend", [name for name in BACKENDS if name not in {"openai", "litellm"}]
)
@pytest.mark.usefixtures("everything_set")
def test_no_other_backend_follows_openais_base_url(
    server: Start, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    trap, standin = server(lambda _: "trapped"), server(lambda _: "hello")
    monkeypatch.setenv("OPENAI_BASE_URL", trap.base_url)
    ask(backend, address(backend, standin))
    assert len(standin.requests) == 2
    assert trap.requests == []


@pytest.mark.usefixtures("everything_set")
def test_anthropics_own_variables_are_used_together(
    server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin = server(lambda _: "hello")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", standin.url)
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    ask("anthropic", {})
    for request in standin.requests:
        assert planted(request) == {"planted-auth-token"}
        assert request.headers["x-planted"] == "planted-anthropic-custom"
        assert request.headers["authorization"] == "Bearer planted-auth-token"


@pytest.mark.usefixtures("everything_set")
def test_organisation_project_and_headers_that_a_user_gives_are_sent(server: Start) -> None:
    standin = server(lambda _: "hello")
    kwargs = {
        "base_url": standin.base_url,
        "organization": "mine",
        "project": "too",
        "default_headers": {"X-Mine": "yes"},
        "sampling_args": {"extra_headers": {"X-Call": "also"}, "extra_query": {"q": "1"}},
    }
    ask("vllm", kwargs)
    for request in standin.requests:
        assert request.headers["openai-organization"] == "mine"
        assert request.headers["openai-project"] == "too"
        assert request.headers["x-mine"] == "yes"
        assert request.headers["x-call"] == "also"
        assert request.path.endswith("?q=1")


def test_portkey_gets_its_headers_and_no_authorization(server: Start) -> None:
    standin = server(lambda _: "hello")
    kwargs = {
        "base_url": standin.base_url,
        "api_key": "pk-given",
        "virtual_key": "vk-given",
        "provider": "@openai",
        "metadata": {"team": "a"},
    }
    ask("portkey", kwargs)
    for request in standin.requests:
        assert request.headers["x-portkey-api-key"] == "pk-given"
        assert request.headers["x-portkey-virtual-key"] == "vk-given"
        assert request.headers["x-portkey-provider"] == "@openai"
        assert json.loads(request.headers["x-portkey-metadata"]) == {"team": "a"}
        assert "authorization" not in request.headers


def test_azure_is_asked_by_deployment_and_version_or_through_its_v1_api(server: Start) -> None:
    standin = server(lambda _: "hello")
    ask("azure_openai", {"azure_endpoint": standin.url, "api_key": "a-key", "api_version": "v9"})
    assert standin.requests[0].path == "/openai/deployments/m/chat/completions?api-version=v9"
    assert standin.requests[0].headers["api-key"] == "a-key"
    ask("azure_openai", {"base_url": f"{standin.url}/openai/v1", "azure_ad_token": "a-token"})
    assert standin.requests[-1].path == "/openai/v1/chat/completions"
    assert standin.requests[-1].headers["authorization"] == "Bearer a-token"


def test_a_redirect_is_not_followed_so_no_prompt_or_key_goes_along(server: Start) -> None:
    other = server(lambda _: "trapped")
    location = {"location": f"{other.base_url}/chat/completions?api_key=hidden-in-there"}
    standin = server(lambda _: LMResponse(status=307, headers=location, raw=b""))
    with pytest.raises(BackendError, match="It redirects to http://127") as caught:
        ask("vllm", {"base_url": standin.base_url})
    assert "hidden-in-there" not in str(caught.value)
    assert other.requests == []
