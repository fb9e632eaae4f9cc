"""Scripted replies: one per turn of a run, and a function for its sub-calls."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

from rlm.demo.messages import LMRequest, LMResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Reply = str | LMResponse


def _ok(prompt: str) -> Reply:  # noqa: ARG001 - a sub-call's signature
    return "ok"


def script(
    root: Sequence[Reply] | Callable[[LMRequest], Reply],
    sub: Callable[[str], Reply] = _ok,
) -> Callable[[LMRequest], LMResponse]:
    """Return a reply function for a `StandInServer`.

    Args:
        root: The replies to turns (requests with a system prompt): a list, used in the order of
            requests from all runs, or a function of the request, which can tell runs apart.
        sub: Returns the reply to any other request, by the text of its last message.
    """
    numbers = itertools.count()
    lock = threading.Lock()

    def next_reply(request: LMRequest) -> Reply:
        if callable(root):
            return root(request)
        with lock:
            number = next(numbers)
        if number >= len(root):
            text = f"the script has {len(root)} root replies, and this is request {number + 1}"
            raise LookupError(text)
        return root[number]

    def reply(request: LMRequest) -> LMResponse:
        said = next_reply(request) if request.is_root else sub(request.prompt)
        return LMResponse(text=said) if isinstance(said, str) else said

    return reply
