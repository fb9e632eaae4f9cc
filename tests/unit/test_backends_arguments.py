"""What is refused at construction, before any SDK is imported."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.util import find_spec

import anthropic
import openai
import pytest

from rlm.backends import BACKENDS, create, reports_cost, validate
from rlm.backends.providers import COMMON, PROVIDERS
from rlm.errors import ArgumentError, ConfigurationError, MissingKeyError, MissingPackageError

OURS = {"model_name", "sampling_args"}


def test_every_backend_of_the_contract_is_there() -> None:
    assert set(BACKENDS) == {
        *("openai", "anthropic", "portkey", "openrouter", "litellm", "vllm"),
        *("azure_openai", "gemini", "vercel"),
    }


def test_an_unknown_backend_is_a_value_error_that_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match="Did you mean 'openai'") as caught:
        validate("opnai", {"model_name": "m"})
    assert isinstance(caught.value, ConfigurationError)
    assert all(name in str(caught.value) for name in BACKENDS)


def test_an_unknown_keyword_is_a_type_error_that_lists_those_taken() -> None:
    with pytest.raises(TypeError, match="Did you mean 'base_url'") as caught:
        validate("openai", {"model_name": "m", "baseurl": "http://x/v1", "api_key": "k"})
    assert isinstance(caught.value, ArgumentError)
    assert all(name in str(caught.value) for name in COMMON)


@pytest.mark.parametrize("model", [None, "", "  ", 3])
def test_a_model_is_required(model: object) -> None:
    with pytest.raises(ConfigurationError, match="model_name"):
        validate("openai", {"model_name": model, "api_key": "k"})


def test_vllm_needs_its_servers_address() -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        validate("vllm", {"model_name": "m"})


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"base_url": "localhost:8000/v1"}, "base_url"),
        ({"base_url": "ftp://host/v1"}, "base_url"),
        ({"timeout": 0}, "timeout"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"sampling_args": [1]}, "sampling_args"),
        ({"api_key": "sk-with\nline-break"}, "line break"),
        ({"default_headers": {"X-A": "b\r\nX-C: d"}}, "X-A"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_name(
    kwargs: dict[str, object], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        validate("openai", {"model_name": "m", "api_key": "k", **kwargs})
    assert "sk-with" not in str(caught.value)


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"timeout": "planted"}, r"\['timeout'\] must be a number of seconds .* not str"),
        ({"timeout": True}, "not bool"),
        ({"default_headers": "planted"}, r"\['default_headers'\] must be a dict .* not str"),
        ({"default_query": ["planted"]}, r"\['default_query'\] must be a dict .* not list"),
        ({"default_headers": {1: "planted"}}, "names that are str, not int"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_type_that_is_taken(
    kwargs: dict[str, object], expected: str
) -> None:
    with pytest.raises(ArgumentError, match=expected) as caught:
        validate("openai", {"model_name": "m", "api_key": "k", **kwargs})
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("name", ["model", "messages", "stream", "n"])
def test_sampling_arguments_may_not_set_what_the_engine_sets(name: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        validate("openai", {"model_name": "m", "api_key": "k", "sampling_args": {name: 1}})


@pytest.mark.parametrize("backend", [b for b in BACKENDS if PROVIDERS[b].key_variable])
def test_a_missing_key_is_an_error_that_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    variable = PROVIDERS[backend].key_variable
    assert variable is not None
    kwargs = {"model_name": "m"}
    if backend == "azure_openai":
        kwargs["azure_endpoint"] = "https://x.openai.azure.com"
    with pytest.raises(MissingKeyError, match=variable):
        validate(backend, kwargs)
    monkeypatch.setenv(variable, "   ")
    with pytest.raises(MissingKeyError, match=variable):
        validate(backend, kwargs)
    monkeypatch.setenv(variable, "a-key")
    validate(backend, kwargs)


def test_openais_own_host_gets_openais_key_and_other_providers_hosts_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
        validate("openai", {"model_name": "m", "base_url": "https://eu.api.openai.com/v1"})
    # In clear text, or at a host that only looks like it, it is just another server.
    validate("openai", {"model_name": "m", "base_url": "http://api.openai.com/v1"})
    validate("openai", {"model_name": "m", "base_url": "https://api.openai.com.example.org/v1"})


def test_one_credential_is_enough() -> None:
    with pytest.raises(ConfigurationError, match="one credential"):
        validate("anthropic", {"model_name": "m", "api_key": "a", "auth_token": "b"})
    azure = {"model_name": "m", "azure_endpoint": "https://x", "api_key": "a"}
    with pytest.raises(ConfigurationError, match="one credential"):
        validate("azure_openai", {**azure, "azure_ad_token": "b"})


@pytest.mark.skipif(find_spec("litellm") is not None, reason="litellm is installed here")
def test_a_missing_package_is_an_import_error_that_names_the_extra() -> None:
    with pytest.raises(ImportError, match=r"pip install 'rlm-kernel\[litellm\]'") as caught:
        validate("litellm", {"model_name": "m"})
    assert isinstance(caught.value, MissingPackageError)


def test_the_keywords_of_the_table_are_those_of_the_installed_sdks() -> None:
    def taken(constructor: object) -> set[str]:
        return set(inspect.signature(constructor.__init__).parameters)  # type: ignore[misc]

    assert set(PROVIDERS["openai"].arguments) - OURS <= taken(openai.AsyncOpenAI)
    assert set(PROVIDERS["azure_openai"].arguments) - OURS <= taken(openai.AsyncAzureOpenAI)
    ours = {*OURS, "max_tokens"}
    assert set(PROVIDERS["anthropic"].arguments) - ours <= taken(anthropic.AsyncAnthropic)


def test_only_those_that_say_so_report_costs() -> None:
    assert reports_cost("openrouter")
    assert not reports_cost("openai")


def test_no_sdk_is_imported_before_a_client_is_created() -> None:
    code = (
        "import sys, rlm.backends as b\n"
        "b.validate('openai', {'model_name': 'm', 'api_key': 'k'})\n"
        "b.validate('anthropic', {'model_name': 'm', 'api_key': 'k'})\n"
        "print(sorted({'openai', 'anthropic', 'httpx', 'httpx2', 'litellm'} & set(sys.modules)))\n"
        "b.create('openai', {'model_name': 'm', 'api_key': 'k'})\n"
        "print('openai' in sys.modules, 'anthropic' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True False"]


def test_what_a_client_is_called_after_is_what_was_asked_for() -> None:
    client = create("openrouter", {"model_name": "m", "api_key": "k", "max_retries": 1})
    assert (client.backend, client.model_name, client.reports_cost) == ("openrouter", "m", True)
