"""The messages of sub-calls: what a kernel and its host send each other on the control channel.

A sub-call is an `llm_query`, `rlm_query` or tool call of a cell. `rlm_kernel.guest.subcalls` sends
it, `rlm_kernel.host.subcalls` has it answered. The messages are Jupyter messages of our own types:

- ``rlm_hello`` (host): its sender gets the calls from now on. The kernel answers
  ``rlm_hello_reply``.
- ``rlm_call`` (kernel): ``{"floor": id, "calls": [{"id", "kind", "model", "name", "json",
  "prompt" | "buffer"}]}``. The prompt is text, or with ``json`` the JSON of a chat or of a tool's
  arguments. The host may forget the answers to ids below ``floor``.
- ``rlm_poll`` (kernel): ``{"ids": [...]}``: asks for the state of these calls.
- ``rlm_cancel`` (kernel): ``{"ids": [...]}``: nobody waits for these calls any more.
- ``rlm_reply`` (host): ``{"answers": [{"id", "value" | "buffer", "error"}], "pending": [...],
  "unknown": [...]}``.

A ``buffer`` is the index of one of the message's raw buffers: UTF-8 text that is too long for JSON.
"""

from __future__ import annotations

from typing import Any

HELLO = "rlm_hello"
HELLO_REPLY = "rlm_hello_reply"
CALL = "rlm_call"
POLL = "rlm_poll"
CANCEL = "rlm_cancel"
REPLY = "rlm_reply"

FROM_KERNEL = frozenset({CALL, POLL, CANCEL})
"""The messages that a kernel sends about its calls."""

KINDS = ("llm", "rlm", "tool", "chat")
"""A plain LM call; a child run; a host callable; a plain LM call whose answer has its usage."""

WINDOW = 1024
"""Calls that a kernel may have sent without an answer yet."""

BATCH_CALLS = 256
"""Calls in one message at most."""

BATCH_CHARACTERS = 4_000_000
"""Characters of one message's prompts; a single call may have more."""

INLINE_CHARACTERS = 4096
"""Texts over this length travel as raw buffers, not as JSON."""

MAX_CHARACTERS = 64_000_000
"""Characters of one prompt, of a chat's or a tool's JSON, or of one answer."""


def put_text(entry: dict[str, Any], name: str, text: str, buffers: list[bytes]) -> None:
    """Put a text into a message's entry under `name`, or into `buffers` when it is long."""
    if len(text) > INLINE_CHARACTERS:
        entry["buffer"] = len(buffers)
        buffers.append(text.encode("utf-8", "replace"))
    else:
        entry[name] = text
