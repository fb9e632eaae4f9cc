"""One small run with each provider whose key is set: `make test-live`, because it costs money."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from rlm import RLM

if TYPE_CHECKING:
    from collections.abc import Callable

PROVIDERS = {
    "openai": ("OPENAI_API_KEY", "gpt-5-mini"),
    "anthropic": ("ANTHROPIC_API_KEY", "claude-haiku-4-5"),
    "openrouter": ("OPENROUTER_API_KEY", "openai/gpt-5-mini"),
    "gemini": ("GEMINI_API_KEY", "gemini-2.5-flash"),
    "vercel": ("AI_GATEWAY_API_KEY", "openai/gpt-5-mini"),
    "portkey": ("PORTKEY_API_KEY", "@openai/gpt-5-mini"),
}
"""Backend to its key's variable and a small model; `RLM_LIVE_MODEL` names another."""


@pytest.mark.live
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", PROVIDERS)
def test_a_number_is_found_in_a_long_text(
    backend: str, require: Callable[[object, str], None]
) -> None:
    variable, model = PROVIDERS[backend]
    require(os.environ.get(variable), variable)
    lines = [f"Line {number} holds nothing of interest." for number in range(5000)]
    lines[3210] = "The magic number is 48151623."
    model = os.environ.get("RLM_LIVE_MODEL", model)
    with RLM(
        backend=backend, backend_kwargs={"model_name": model}, max_iterations=10, max_timeout=240
    ) as rlm:
        result = rlm.completion("\n".join(lines), root_prompt="What is the magic number?")
    assert "48151623" in result.response
    assert result.usage_summary.total_input_tokens > 0
