"""The context windows of widely used models."""

from __future__ import annotations

import re

# Tokens of a prompt, by the beginning of a model's name; the longest prefix wins. Where a provider
# limits the prompt to a part of the window (GPT-5: 272,000 of 400,000), that part. The window of
# any other model is unknown, and refuses nothing. Source: the providers' model pages.
_WINDOWS = {
    "gpt-3.5-turbo": 16_385,
    "gpt-4": 8_192,
    "gpt-4-32k": 32_768,
    "gpt-4-0125": 128_000,
    "gpt-4-1106": 128_000,
    "gpt-4-turbo": 128_000,
    "gpt-4o": 128_000,
    "gpt-4.1": 1_047_576,
    "gpt-4.5": 128_000,
    "gpt-5": 272_000,
    "gpt-5-chat": 128_000,
    "gpt-5.1": 272_000,
    "gpt-5.1-chat": 128_000,
    "gpt-5.2": 272_000,
    "gpt-5.2-chat": 128_000,
    "gpt-5.3-chat": 128_000,
    "gpt-5.3-codex": 272_000,
    "gpt-5.4": 1_050_000,
    "gpt-5.4-mini": 272_000,
    "gpt-5.4-nano": 272_000,
    "gpt-5.5": 1_050_000,
    "gpt-5.6": 922_000,
    "gpt-6": 922_000,
    "gpt-6.1": 922_000,
    "gpt-oss": 131_072,
    "o1": 200_000,
    "o1-mini": 128_000,
    "o1-preview": 128_000,
    "o3": 200_000,
    "o4-mini": 200_000,
    "claude-3": 200_000,
    "claude-opus-4": 200_000,
    "claude-opus-4-6": 1_000_000,
    "claude-opus-4-7": 1_000_000,
    "claude-opus-4-8": 1_000_000,
    "claude-opus-5": 1_000_000,
    "claude-sonnet-4": 200_000,
    "claude-sonnet-4-6": 1_000_000,
    "claude-sonnet-5": 1_000_000,
    "claude-haiku-4": 200_000,
    "claude-haiku-5": 1_000_000,
    "claude-fable-5": 1_000_000,
    "claude-mythos-5": 1_000_000,
    "gemini-1.5-pro": 2_097_152,
    "gemini-1.5-flash": 1_048_576,
    "gemini-2.0": 1_048_576,
    "gemini-2.5": 1_048_576,
    "gemini-2.5-computer-use": 128_000,
    "gemini-3": 1_048_576,
    "gemini-3.1": 1_048_576,
    "gemini-3.5": 1_048_576,
    "gemini-flash": 1_048_576,
    "gemini-pro": 1_048_576,
    "deepseek-chat": 131_072,
    "deepseek-reasoner": 131_072,
    "deepseek-v4": 1_000_000,
    "grok-3": 131_072,
    "grok-4": 256_000,
    "grok-4-fast": 2_000_000,
    "grok-4.20": 1_000_000,
    "grok-4.3": 1_000_000,
    "grok-4.5": 500_000,
    "mistral-large-2512": 262_144,
    "mistral-large-3": 262_144,
    "mistral-medium-3": 262_144,
    "mistral-small-2603": 262_144,
}
KNOWN_MODELS = tuple(_WINDOWS)
"""Names of widely used models, and beginnings of such names."""

# What may follow a prefix: a variant of the same model. `gpt-4` must not claim `gpt-45`.
_VARIANT = re.compile(r"$|[-@:]")


def context_window(model: str) -> int | None:
    """Return how many tokens a model's prompt may have; None if that is unknown.

    Args:
        model: The model's name, with or without provider prefixes such as ``"openai/"`` or
            ``"@openai/"``.
    """
    name = model.rpartition("/")[2].lower().rpartition("anthropic.")[2]
    if name.startswith("claude"):
        name = name.replace(".", "-")  # OpenRouter writes claude-opus-4.6
    known = [
        prefix
        for prefix in _WINDOWS
        if name.startswith(prefix) and _VARIANT.match(name, len(prefix))
    ]
    return _WINDOWS[max(known, key=len)] if known else None
