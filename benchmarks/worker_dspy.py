"""Worker for `dspy.RLM` with its local interpreter (a subprocess), no cache."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any

import worker
from work import DSPY_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLS = 1000
"""Its default of 50 sub-calls would refuse two of the rows."""


class DSPyPeer:
    """`dspy`, driven as its documentation does."""

    def __init__(self) -> None:
        self._dspy: Any = None
        self._models: dict[str, Any] = {}

    def load(self) -> str:
        """Import `dspy`."""
        if self._dspy is None:
            self._dspy = import_module("dspy")
        return str(self._dspy.__version__)

    def runner(
        self,
        url: str,
        max_depth: int,  # noqa: ARG002 - it has no depth limit
        options: dict[str, Any],  # noqa: ARG002 - nor any that the rows ask for
    ) -> Callable[[str, str], str]:
        """Return a call of `dspy.RLM` on a local interpreter."""
        dspy = self._dspy
        interpreter = import_module("dspy.primitives.local_interpreter").LocalInterpreter
        lm = self._model(url)
        module = dspy.RLM(
            "context, query -> answer",
            max_iters=30,
            max_llm_calls=_CALLS,
            interpreter_factory=interpreter,
        )

        def run(context: str, query: str) -> str:
            with dspy.context(lm=lm):
                return str(module(context=context, query=query).answer)

        return run

    def sdk_chats(self, url: str, chats: list[list[dict[str, Any]]]) -> None:
        """`dspy.LM` is its SDK."""
        lm = self._model(url)
        for chat in chats:
            lm(messages=chat)

    def sdk_batch(self, url: str, prompts: list[str], width: int) -> float:
        """`dspy.LM` called from threads, as its own batches do."""
        lm = self._model(url)
        lm("ECHO 0")
        begun = time.perf_counter()
        with ThreadPoolExecutor(width) as pool:
            list(pool.map(lm, prompts))
        return time.perf_counter() - begun

    def _model(self, url: str) -> Any:
        if url not in self._models:
            self._dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
            self._models[url] = self._dspy.LM(
                f"openai/{DSPY_MODEL}", api_base=url, api_key="bench", cache=False
            )
        return self._models[url]


if __name__ == "__main__":
    worker.serve(DSPyPeer())
