"""The litellm backend, with the real litellm in a virtual environment of its own.

`RLM_TEST_LITELLM_PYTHON` names an interpreter that has it; else, where nothing may be skipped,
one is made (a minute).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rlm.demo.server import LMRequest, LMResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.demo.server import StandInServer

    Start = Callable[..., StandInServer]

REPOSITORY = Path(__file__).parents[2]
PLANTED = {
    "OPENAI_API_KEY": "planted-openai",
    "OPENAI_ORG_ID": "planted-org",
    "OPENAI_ORGANIZATION": "planted-organization",
    "OPENAI_PROJECT_ID": "planted-project",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/planted",
    "OPENAI_CUSTOM_HEADERS": "X-Planted: planted-custom\nauthorization: Bearer planted-auth",
    "DEEPSEEK_API_KEY": "own-deepseek",
    "ANTHROPIC_API_KEY": "own-anthropic",
}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="session")
def litellm_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    given = os.environ.get("RLM_TEST_LITELLM_PYTHON")
    if given:
        return given
    if find_spec("litellm") is not None:
        return sys.executable
    if os.environ.get("RLM_TEST_REQUIRE") != "all":
        pytest.skip("needs RLM_TEST_LITELLM_PYTHON, an interpreter with litellm")
    folder = tmp_path_factory.mktemp("litellm")
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q", f"{REPOSITORY}[litellm]"]
    subprocess.run(install, check=True, timeout=800)
    return python


def call(python: str, *cases: dict[str, Any]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [
            python,
            "-W",
            "ignore",
            str(Path(__file__).with_name("litellm_calls.py")),
            json.dumps(cases),
        ],
        env={**os.environ, **PLANTED, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    results: list[dict[str, Any]] = json.loads(line.removeprefix("RESULT "))
    return results


def test_litellm_sends_each_provider_its_key_and_nothing_of_openais(
    server: Start, litellm_python: str
) -> None:
    standin = server(lambda _: "hello")
    models = {
        "openai/gpt-4o": "EMPTY",
        "gpt-4o": "EMPTY",
        "deepseek/deepseek-chat": "own-deepseek",
        "anthropic/claude-sonnet-4-5": "own-anthropic",
        "perplexity/sonar": "EMPTY",
        "custom_openai/any": "EMPTY",
        "hosted_vllm/any": "fake-api-key",
    }
    cases = [
        {"model_name": m, "base_url": standin.url if "claude" in m else standin.base_url}
        for m in models
    ]
    results = call(litellm_python, *cases)
    assert [result.get("texts") for result in results] == [["hello", "hello"]] * len(models)
    assert len(standin.requests) == 2 * len(models)
    for key, plain, streamed in zip(
        models.values(), standin.requests[::2], standin.requests[1::2], strict=True
    ):
        for request in (plain, streamed):
            headers = json.dumps(request.headers)
            assert "planted" not in headers
            assert "openai-organization" not in headers
            assert key in headers
    assert results[0]["reports_cost"]
    assert all(cost > 0 for cost in results[0]["costs"])
    assert not results[-1]["reports_cost"]
    assert results[-1]["costs"] == [None, None]


def test_litellm_cannot_fall_back_on_openais_key(litellm_python: str) -> None:
    keyless, azure = call(
        litellm_python,
        {"model_name": "perplexity/sonar"},
        {"model_name": "azure/gpt-4o", "base_url": "http://127.0.0.1:9", "api_key": "k"},
    )
    assert keyless["error"] == "MissingKeyError"
    assert azure["error"] == "ConfigurationError"
    assert "OPENAI_ORG_ID" in azure["text"]


def test_litellms_errors_become_ours_and_show_no_key(server: Start, litellm_python: str) -> None:
    def reply(request: LMRequest) -> LMResponse:
        if request.model == "long":
            return LMResponse(status=400, text="This model's maximum context length is 9 tokens.")
        if request.model == "bad":
            return LMResponse(raw=b"not json")
        return LMResponse(status=401, text="Incorrect API key provided: very-secret-key")

    standin = server(reply)
    long, bad, refused = call(
        litellm_python,
        *(
            {
                "model_name": f"openai/{name}",
                "base_url": standin.base_url,
                "api_key": "very-secret-key",
            }
            for name in ("long", "bad", "refused")
        ),
    )
    assert long["error"] == "ContextWindowError"
    assert bad["error"] == "BackendError"
    assert refused["error"] == "BackendError"
    assert "401" in refused["text"]
    assert "very-secret-key" not in refused["text"]
