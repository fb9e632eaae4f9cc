"""Worker for every package that is imported as `rlm`: ours and the reference.

Usage: python worker_rlm.py DISTRIBUTION ENVIRONMENT, in that distribution's virtual environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import worker
from work import RLM_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable


class RLMPeer:
    """A package with the reference's public API.

    Args:
        distribution: The installed distribution that must own the import name `rlm`.
        environment: Its `environment` argument.
    """

    def __init__(self, distribution: str, environment: str) -> None:
        self._distribution = distribution
        self._environment = environment
        self._kept: dict[str, Any] = {}

    def load(self) -> str:
        """Import `rlm` and check whose it is."""
        import rlm  # noqa: F401 - this import is what is measured

        if self._kept.get("version"):
            return str(self._kept["version"])
        from importlib.metadata import version

        self._kept["version"] = version(self._distribution)
        return str(self._kept["version"])

    def runner(
        self, url: str, max_depth: int, options: dict[str, Any]
    ) -> Callable[[str, str], str]:
        """Return a completion on an RLM object that is kept, or ``own`` to the caller."""
        options = dict(options)
        own = options.pop("own", False)
        key = json.dumps([url, max_depth, options])
        model = None if own else self._kept.get(key)
        if model is None:
            model = self._new(url, max_depth, options)
        if not own:
            self._kept[key] = model

        def run(context: str, query: str) -> str:
            return str(model.completion(context, root_prompt=query).response)

        return run

    def _new(self, url: str, max_depth: int, options: dict[str, Any]) -> Any:
        from rlm import RLM

        environment, _, option = self._environment.partition("+")
        kwargs: dict[str, Any] = {"environment": environment}
        if option:
            name, _, value = option.partition("=")
            kwargs["environment_kwargs"] = {name: value or True}
        if self._environment == "ipython":
            kwargs["environment_kwargs"] = {"kernel_mode": "subprocess"}
        return RLM(
            backend="openai",
            backend_kwargs={"model_name": RLM_MODEL, "base_url": url, "api_key": "bench"},
            max_depth=max_depth,
            **kwargs,
            **options,
        )

    def cold(self) -> float:
        """Ours with a forked kernel that has answered; the reference's with its proxy."""
        if self._distribution == "rlm-kernel":
            return asyncio.run(_cold())
        from rlm.environments.docker_repl import DockerREPL

        begun = time.perf_counter()
        repl = DockerREPL(image=self._environment.partition("=")[2])
        seconds = time.perf_counter() - begun
        repl.cleanup()
        return seconds

    def sdk_chats(self, url: str, chats: list[list[dict[str, Any]]]) -> None:
        """Ours streams its turns on asyncio, the reference blocks."""
        import openai_sdk

        ask = openai_sdk.plain if self._distribution == "rlms" else openai_sdk.streamed
        ask(url, chats)

    def sdk_batch(self, url: str, prompts: list[str], width: int) -> float:
        """Both use the SDK's asyncio client for batches."""
        import openai_sdk

        return openai_sdk.batch(url, prompts, width)


async def _cold() -> float:
    begun = time.perf_counter()
    from rlm.core.environments import new_sandbox
    from rlm_kernel.host.kernel_options import KernelOptions
    from rlm_kernel.host.session import open_session

    async def nobody_calls(call: Any) -> Any:
        raise NotImplementedError

    sandbox = new_sandbox("docker", {})
    try:
        session = await open_session(sandbox, KernelOptions(), nobody_calls)
        seconds = time.perf_counter() - begun
        await session.close()
    finally:
        await sandbox.close()
    return seconds


if __name__ == "__main__":
    worker.serve(RLMPeer(sys.argv[1], sys.argv[2]))
