"""A scripted model that the test lets speak, reply by reply: so a page can be seen in between."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rlm.demo.server import LMRequest


class Held:
    """A scripted model whose replies wait until the test lets them go, one by one."""

    def __init__(self, *replies: str) -> None:
        self._replies = replies
        self._gates = [threading.Event() for _ in replies]

    def __call__(self, request: LMRequest) -> str:
        number = request.turn - 1
        assert self._gates[number].wait(60)
        return self._replies[number]

    def release(self, number: int) -> None:
        self._gates[number].set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for gate in self._gates:
            gate.set()
