"""The worker's half of the conversation: one JSON object a line, in on stdin, out on stdout.

Standard library only: it runs in the virtual environment of every peer. What is
not needed to read the first command is imported later, because a fresh process is
one of the things measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from work import Context, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = dict[str, Any]
    Reply = dict[str, Any]


class Peer(Protocol):
    """One library under measurement."""

    def load(self) -> str:
        """Import the library; return its version."""

    def runner(
        self, url: str, max_depth: int, options: dict[str, Any]
    ) -> Callable[[str, str], str]:
        """Return a function (context, query) -> answer that can be called again and again."""

    def cold(self) -> float:
        """Return the seconds until a new container can run code."""

    def sdk_chats(self, url: str, chats: list[list[dict[str, Any]]]) -> None:
        """Send these chats through the peer's own SDK, one after another, as the peer does."""

    def sdk_batch(self, url: str, prompts: list[str], width: int) -> float:
        """Return the seconds that the peer's own SDK needs for prompts, `width` at once."""


def serve(peer: Peer) -> None:
    """Answer commands until stdin ends."""
    commands, replies = _private_channel()
    operations: dict[str, Callable[[Peer, Command], Reply]] = {
        "import": _import,
        "cold": _cold,
        "complete": _complete,
        "parallel": _parallel,
        "memory": _memory,
        "sdk_chats": _sdk_chats,
        "sdk_batch": _sdk_batch,
    }
    for line in commands:
        command = json.loads(line)
        try:
            reply = operations[command["do"]](peer, command)
        except Exception as error:  # noqa: BLE001 - a peer may raise whatever it likes: it is reported
            import traceback

            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"[:500]}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _private_channel() -> tuple[TextIO, TextIO]:
    """Move the conversation off fds 0 and 1, which libraries and their children use."""
    commands, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return os.fdopen(commands, encoding="utf-8"), os.fdopen(replies, "w", encoding="utf-8")


def _import(peer: Peer, command: Command) -> Reply:  # noqa: ARG001 - every operation's signature
    begun = time.perf_counter()
    version = peer.load()
    seconds = time.perf_counter() - begun
    sdks = ("openai", "anthropic", "litellm", "google.genai", "portkey_ai")
    loaded = [name for name in sdks if name in sys.modules]
    python = ".".join(map(str, sys.version_info[:3]))
    return {"seconds": seconds, "version": version, "sdks": loaded, "python": python}


def _cold(peer: Peer, command: Command) -> Reply:  # noqa: ARG001 - every operation's signature
    return {"seconds": peer.cold()}


def _complete(peer: Peer, command: Command) -> Reply:
    task, context = Task(**command["task"]), Context(**command["context"]).text()
    peer.load()
    run = peer.runner(command["url"], task.max_depth, command.get("options", {}))
    seconds, answers = [], []
    for _ in range(command.get("repeat", 1)):
        begun = time.perf_counter()
        answers.append(run(context, task.query))
        seconds.append(time.perf_counter() - begun)
    return {"seconds": seconds, "answers": answers}


def _parallel(peer: Peer, command: Command) -> Reply:
    import threading

    task = Task(**command["task"])
    contexts = [Context(**one).text() for one in command["contexts"]]
    peer.load()
    start = threading.Barrier(len(contexts) + 1)
    answers: list[str] = [""] * len(contexts)

    def one(index: int) -> None:
        start.wait()
        try:
            run = peer.runner(command["url"], task.max_depth, {"own": True})
            answers[index] = run(contexts[index], task.query)
        except Exception as error:  # noqa: BLE001 - a lost run is a result
            answers[index] = f"{type(error).__name__}: {error}"[:200]

    threads = [threading.Thread(target=one, args=(k,)) for k in range(len(contexts))]
    for thread in threads:
        thread.start()
    folder = os.getcwd()  # noqa: PTH109 - compared as a string below
    start.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    try:
        moved = os.getcwd() != folder  # noqa: PTH109 - raises when the folder is gone, as is wanted
    except FileNotFoundError:
        moved = True
    return {"seconds": seconds, "answers": answers, "moved": moved}


def _memory(peer: Peer, command: Command) -> Reply:
    """Run once with a small context, then with the big one, watching this process's memory."""
    import gc

    task = Task(**command["task"])
    peer.load()
    run = peer.runner(command["url"], task.max_depth, {})
    run(Context().text(), task.query)
    context = Context(**command["context"]).text()
    gc.collect()
    before = _resident("VmRSS")
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123 - no pathlib: import time
        file.write("5")  # resets the peak (proc(5))
    begun = time.perf_counter()
    answer = run(context, task.query)
    seconds = time.perf_counter() - begun
    return {"seconds": [seconds], "answers": [answer], "added": _resident("VmHWM") - before}


def _resident(field: str) -> int:
    """Return a memory figure of this process from proc(5), in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 - no pathlib: import time
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) * 1024


def _sdk_chats(peer: Peer, command: Command) -> Reply:
    peer.load()
    url, chats = command["url"], command["chats"]
    peer.sdk_chats(url, chats)
    return {}


def _sdk_batch(peer: Peer, command: Command) -> Reply:
    peer.load()
    return {"seconds": [peer.sdk_batch(command["url"], command["prompts"], command["width"])]}
