"""Run by an interpreter that has litellm: asks through the backend, prints what came of it as JSON.

litellm cannot be installed beside the newest `openai`, so it has a virtual environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from rlm.backends import create
from rlm.errors import RLMError


async def ask(case: dict[str, Any]) -> dict[str, Any]:
    """Ask once plainly and once streamed."""
    try:
        client = create("litellm", {"timeout": 20, **case})
        replies = [
            await client.complete([{"role": "user", "content": "hello"}], stream=stream)
            for stream in (False, True)
        ]
        await client.close()
    except RLMError as error:
        return {"error": type(error).__name__, "text": str(error)}
    return {
        "texts": [reply.text for reply in replies],
        "tokens": [reply.usage.input_tokens for reply in replies],
        "costs": [reply.usage.cost for reply in replies],
        "reports_cost": client.reports_cost,
    }


async def main() -> None:
    """Ask every case of the argument, one after the other."""
    results = [await ask(case) for case in json.loads(sys.argv[1])]
    print("RESULT " + json.dumps(results))  # noqa: T201 - read by the test


asyncio.run(main())
