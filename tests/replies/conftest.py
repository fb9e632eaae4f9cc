"""Gives the tests of replies an RLM on a stand-in server."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from rlm import RLM
from rlm.demo.server import script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rlm.demo.server import StandInServer


class Standing:
    """Makes RLMs whose model says what a test wants, behind a real HTTP server.

    Attributes:
        server: That of the last RLM.
    """

    def __init__(self, serve: Callable[..., StandInServer], running: ExitStack) -> None:
        self._serve = serve
        self._running = running
        self.server: StandInServer

    def __call__(
        self,
        root: Sequence[Any],
        sub: Callable[[str], Any] = lambda _: "ok",
        *,
        backend: str = "vllm",
        **options: Any,
    ) -> RLM:
        """Return an RLM; `root` and `sub` are a `rlm.demo.server.script`'s, the rest is its own."""
        self.server = self._serve(script(root, sub))
        base_url = self.server.url if backend == "anthropic" else self.server.base_url
        kwargs = {"model_name": "m", "base_url": base_url, "api_key": "k"}
        return self._running.enter_context(RLM(backend=backend, backend_kwargs=kwargs, **options))

    def sent(self, request: int) -> str:
        """Return all that a request brought, as text."""
        return "\n".join(str(m["content"]) for m in self.server.requests[request].messages)


@pytest.fixture
def standing(server: Callable[..., StandInServer]) -> Iterator[Standing]:
    """`standing([reply, ...])`: an RLM with local kernels, closed after the test."""
    with ExitStack() as running:
        yield Standing(server, running)
