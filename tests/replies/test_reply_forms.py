"""Each form of the table, read alone and as it comes over the wire, streamed and whole."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from reply_forms import FORMS, Form

from rlm.backends import create
from rlm.demo.server import LMRequest, LMResponse
from rlm.reply_parser import ReplyReader
from rlm.thoughts import split_thoughts

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.demo.server import StandInServer

    Start = Callable[..., StandInServer]

REPOSITORY = Path(__file__).parents[2]
EACH = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)


def read(form: Form, text: str) -> None:
    """Check what is made of a form's text, thoughts included."""
    thought, said = split_thoughts(text)
    parsed = ReplyReader("auto").read(said, complete=form.finish == "stop")
    answer = parsed.answer
    assert thought == form.thought
    assert parsed.blocks == form.runs
    assert (answer.value if answer and answer.kind == "text" else None) == form.answers
    assert (answer.value if answer and answer.kind == "variable" else None) == form.variable


@EACH
def test_a_form_is_read(form: Form) -> None:
    read(form, form.text)


@EACH
def test_what_is_left_of_a_reply_has_no_thoughts_to_take_off(form: Form) -> None:
    _, said = split_thoughts(form.text)
    assert form.name.startswith("a stray closing tag") or split_thoughts(said) == ("", said)


@pytest.mark.parametrize("backend", ["vllm", "anthropic"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_every_form_comes_over_the_wire_as_it_is(server: Start, backend: str, stream: bool) -> None:
    standin = server(_numbered)

    async def ask() -> list[str]:
        base_url = standin.url if backend == "anthropic" else standin.base_url
        client = create(backend, {"model_name": "m", "base_url": base_url, "api_key": "k"})
        try:
            return [
                (await client.complete(_hello(), model=str(number), stream=stream)).text
                for number in range(len(FORMS))
            ]
        finally:
            await client.close()

    for form, text in zip(FORMS, asyncio.run(ask()), strict=True):
        read(form, text)


@pytest.mark.timeout(600)
def test_every_form_comes_through_litellm(
    server: Start, require: Callable[[object, str], None]
) -> None:
    python = os.environ.get("RLM_TEST_LITELLM_PYTHON")
    if python is None and find_spec("litellm") is not None:
        python = sys.executable
    require(python, "RLM_TEST_LITELLM_PYTHON, an interpreter with litellm")
    standin = server(_numbered)
    base = {"base_url": standin.base_url, "api_key": "k"}
    cases = [{**base, "model_name": f"openai/{number}"} for number in range(len(FORMS))]
    calls = REPOSITORY / "tests" / "integration" / "litellm_calls.py"
    done = subprocess.run(
        [str(python), "-W", "ignore", str(calls), json.dumps(cases)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    results = json.loads(line.removeprefix("RESULT "))
    for form, result in zip(FORMS, results, strict=True):
        for text in result["texts"]:
            if text == form.text:
                read(form, text)
            else:  # litellm takes `<think>` off by its own rules.
                assert "think" in form.text


def _hello() -> list[dict[str, Any]]:
    return [{"role": "user", "content": "hello"}]


def _numbered(request: LMRequest) -> LMResponse:
    """Reply with the form whose number is the model's name."""
    form = FORMS[int(request.model)]
    return LMResponse(text=form.text, finish_reason=form.finish)
