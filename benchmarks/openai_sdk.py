"""The `openai` SDK alone: what its calls cost without any library of ours above it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from work import RLM_MODEL

_WARM = [{"role": "user", "content": "ECHO 0"}]


def plain(url: str, chats: list[list[dict[str, Any]]]) -> None:
    """Send chats one after another, blocking, as the reference does."""
    from openai import OpenAI

    with OpenAI(base_url=url, api_key="bench") as opened:
        client: Any = opened
        # The first call of a process costs more than any other: it is not what is priced.
        client.chat.completions.create(model=RLM_MODEL, messages=_WARM)
        for chat in chats:
            client.chat.completions.create(model=RLM_MODEL, messages=chat)


def streamed(url: str, chats: list[list[dict[str, Any]]]) -> None:
    """Send chats one after another, streamed with usage, on asyncio."""
    asyncio.run(_streamed(url, chats))


def batch(url: str, prompts: list[str], width: int) -> float:
    """Return the seconds for plain requests on asyncio, `width` at once."""
    return asyncio.run(_batch(url, prompts, width))


async def _streamed(url: str, chats: list[list[dict[str, Any]]]) -> None:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key="bench") as opened:
        client: Any = opened
        for chat in [_WARM, *chats]:
            await _ask_streamed(client, chat)


async def _ask_streamed(client: Any, chat: list[dict[str, Any]]) -> str:
    stream = await client.chat.completions.create(
        model=RLM_MODEL, messages=chat, stream=True, stream_options={"include_usage": True}
    )
    parts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    return "".join(parts)


async def _batch(url: str, prompts: list[str], width: int) -> float:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key="bench") as opened:
        client: Any = opened
        gate = asyncio.Semaphore(width)

        async def ask(prompt: str) -> None:
            async with gate:
                chat = [{"role": "user", "content": prompt}]
                await client.chat.completions.create(model=RLM_MODEL, messages=chat)

        await client.chat.completions.create(model=RLM_MODEL, messages=_WARM)
        begun = time.perf_counter()
        await asyncio.gather(*map(ask, prompts))
        return time.perf_counter() - begun
