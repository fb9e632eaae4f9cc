"""The stand-in LM in a process of its own: one server without latency, one with 50 ms.

First line on stdout: ``{"fast": URL, "slow": URL}``. Then commands on stdin, one JSON object
a line, and their replies:
``{"do": "record", "task": QUERY}`` begins to keep the chats of that task's turns and when they
came, ``{"do": "recorded"}`` returns and forgets them.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from work import reply

from rlm.demo.server import LMRequest, LMResponse, StandInServer

SLOW = 0.05
"""Seconds before every reply of the slow server."""


class Model:
    """The model behind both servers: stateless but for what it is told to record."""

    def __init__(self) -> None:
        self.task: str | None = None
        self.chats: list[list[dict[str, Any]]] = []
        self.times: list[float] = []

    def __call__(self, request: LMRequest) -> LMResponse:
        """Answer one request (on the thread of either server)."""
        chat = request.body["messages"]
        if self.task is not None and any(self.task in str(message) for message in chat):
            self.chats.append(chat)
            self.times.append(time.perf_counter())
        return LMResponse(text=reply(chat, request.model))


def main() -> None:
    """Serve until stdin ends."""
    model = Model()
    fast = StandInServer(model, record=False)
    slow = StandInServer(model, latency=SLOW, record=False)
    with fast, slow:
        print(json.dumps({"fast": fast.base_url, "slow": slow.base_url}), flush=True)
        for line in sys.stdin:
            command = json.loads(line)
            model.task = command.get("task")
            kept = {"chats": model.chats, "times": model.times}
            model.chats, model.times = [], []
            print(json.dumps(kept), flush=True)


if __name__ == "__main__":
    main()
