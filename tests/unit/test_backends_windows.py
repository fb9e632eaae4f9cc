"""Which context windows are known."""

from __future__ import annotations

import pytest

from rlm.backends import context_window


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4", 8_192),
        ("gpt-4-0613", 8_192),
        ("gpt-4o-mini", 128_000),
        ("gpt-4.1-mini", 1_047_576),
        ("gpt-5-mini", 272_000),
        ("gpt-5-chat-latest", 128_000),
        ("gpt-5.4-mini-2026-03-17", 272_000),
        ("openai/gpt-4o", 128_000),
        ("@openai/gpt-4o", 128_000),
        ("openrouter/openai/gpt-4o:free", 128_000),
        ("claude-3-5-sonnet-latest", 200_000),
        ("anthropic/claude-opus-4.6", 1_000_000),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", 200_000),
        ("claude-sonnet-4-6", 1_000_000),
        ("gemini-2.5-flash", 1_048_576),
        ("GPT-4O", 128_000),
    ],
)
def test_a_known_models_window(model: str, tokens: int) -> None:
    assert context_window(model) == tokens


@pytest.mark.parametrize(
    "model", ["", "my-model", "gpt-45", "gpt-7", "llama3", "claude-next", "o11"]
)
def test_an_unknown_models_window_is_not_guessed(model: str) -> None:
    assert context_window(model) is None
