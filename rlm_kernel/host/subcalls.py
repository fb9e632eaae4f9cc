"""The host's end of sub-calls: runs each once, and answers it as often as the kernel asks.

`rlm_kernel.protocol.subcalls` describes the messages. All of them come from a sandbox: we check
every field, bound every size, and read nothing but JSON and text.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rlm_kernel.protocol.nesting import MAX_LEVELS, too_deep
from rlm_kernel.protocol.subcalls import CALL, CANCEL, KINDS, MAX_CHARACTERS, POLL, put_text

MAX_OPEN_CALLS = 20_000
"""Calls that a kernel may have open; an honest one has at most `WINDOW`."""

MAX_OPEN_CHARACTERS = 1_000_000_000
"""Characters of all open calls' prompts together."""

MAX_CALLS_A_MESSAGE = 1024

MESSAGE_BUFFERS = 256
MESSAGE_BYTES = 16_000_000
"""After this much a new message begins: a relay bounds the size of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that a cell made.

    Attributes:
        id: Unique among this kernel's calls.
        kind: ``"llm"``: one plain LM call; ``"rlm"``: a child run; ``"tool"``: a host callable;
            ``"chat"``: a plain LM call of a run in a notebook kernel, whose answer has its usage.
        prompt: Text, or a list of messages. For a tool: ``{"args", "kwargs"}``.
        model: The requested model's name; None for the default.
        name: The tool's name.
    """

    id: str
    kind: Literal["llm", "rlm", "tool", "chat"]
    prompt: Any
    model: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswer:
    """The answer that a cell gets.

    Attributes:
        value: JSON; for a query its text, which may be an error (``"Error: ..."``).
        error: For a tool: the message of the `ToolError` that the cell gets.
    """

    value: Any = None
    error: str | None = None


CallHandler = Callable[[Call], Awaitable[CallAnswer]]
"""Answers a call."""


class SubCallDispatcher:
    """Has the calls of one kernel answered.

    Args:
        handler: Answers a call; each call runs as a task.
        send: Sends an `rlm_reply`: `send(content, buffers)`.
    """

    def __init__(
        self, handler: CallHandler, send: Callable[[dict[str, Any], list[bytes]], None]
    ) -> None:
        self._handler = handler
        self._send = send
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._answers: dict[int, CallAnswer] = {}
        self._unsent: list[int] = []
        self._open_characters = 0
        self._loop = asyncio.get_running_loop()

    def receive(self, msg_type: str, content: Any, buffers: Sequence[bytes]) -> None:
        """Take a message of the kernel; malformed ones are dropped."""
        if not isinstance(content, dict):
            return
        if msg_type == CALL:
            self._forget_below(content.get("floor"))
            calls = content.get("calls")
            unread: list[bytes | None] = list(buffers)
            for entry in calls[:MAX_CALLS_A_MESSAGE] if isinstance(calls, list) else ():
                self._start(entry, unread)
        elif msg_type == POLL:
            self._tell(_ids(content))
        elif msg_type == CANCEL:
            for number in _ids(content):
                task = self._tasks.get(number)
                if task is not None:
                    task.cancel()

    def cancel_all(self) -> list[asyncio.Task[None]]:
        """Cancel every open call; return their tasks."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        return tasks

    def _start(self, entry: Any, buffers: list[bytes | None]) -> None:
        number = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(number, int):
            return
        if number in self._answers:
            self._queue(number)
        elif number not in self._tasks:
            text = _text(entry, buffers)
            call, problem = _read(entry, text)
            if problem is None:
                problem = self._too_much(len(text or ""))
            if call is None or problem is not None:
                self._settle(number, CallAnswer(error=problem))
            else:
                self._open(number, call, len(text or ""))

    def _too_much(self, characters: int) -> str | None:
        """Say why no further call can be accepted; None when one can."""
        if len(self._tasks) >= MAX_OPEN_CALLS:
            return f"more than {MAX_OPEN_CALLS:,} calls are open"
        if self._open_characters + characters > MAX_OPEN_CHARACTERS:
            return f"the open calls' prompts have more than {MAX_OPEN_CHARACTERS:,} characters"
        return None

    def _open(self, number: int, call: Call, characters: int) -> None:
        task = self._loop.create_task(self._run(number, call))
        self._tasks[number] = task
        self._open_characters += characters

        def done(_: object) -> None:
            self._tasks.pop(number, None)
            self._open_characters -= characters

        task.add_done_callback(done)

    async def _run(self, number: int, call: Call) -> None:
        try:
            answer = await self._handler(call)
        except asyncio.CancelledError:
            self._settle(number, CallAnswer(error="the call was cancelled"))
            raise
        except Exception as error:  # noqa: BLE001 - the cell gets an answer in any case
            answer = CallAnswer(error=f"{type(error).__name__}: {error}")
        self._settle(number, answer)

    def _settle(self, number: int, answer: CallAnswer) -> None:
        self._answers[number] = answer
        if len(self._answers) > 2 * MAX_OPEN_CALLS:  # an honest kernel lets us forget them
            del self._answers[next(iter(self._answers))]
        self._queue(number)

    def _queue(self, number: int) -> None:
        """Send an answer together with the others of the same turn of the event loop."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(number)

    def _flush(self) -> None:
        numbers, self._unsent = self._unsent, []
        answers: list[dict[str, Any]] = []
        buffers: list[bytes] = []
        size = 0
        for number in numbers:
            if len(buffers) >= MESSAGE_BUFFERS or size > MESSAGE_BYTES:
                self._send({"answers": answers}, buffers)
                answers, buffers, size = [], [], 0
            answer = self._answers.get(number)
            if answer is None:
                continue
            entry: dict[str, Any] = {"id": number, "error": answer.error}
            value = answer.value
            if isinstance(value, str):
                put_text(entry, "value", value[:MAX_CHARACTERS], buffers)
                size += len(buffers[-1]) if "buffer" in entry else 0
            else:
                entry["value"] = value
            answers.append(entry)
        self._send({"answers": answers}, buffers)

    def _tell(self, numbers: list[int]) -> None:
        pending = [number for number in numbers if number in self._tasks]
        unknown = [n for n in numbers if n not in self._tasks and n not in self._answers]
        for number in numbers:
            if number in self._answers:
                self._queue(number)
        if pending or unknown:
            self._send({"answers": [], "pending": pending, "unknown": unknown}, [])

    def _forget_below(self, floor: Any) -> None:
        if isinstance(floor, int):
            for number in [n for n in self._answers if n < floor]:
                if number not in self._unsent:
                    del self._answers[number]


def _ids(content: dict[str, Any]) -> list[int]:
    ids = content.get("ids")
    if not isinstance(ids, list):
        return []
    return [number for number in ids[:MAX_OPEN_CALLS] if isinstance(number, int)]


def _text(entry: dict[str, Any], buffers: list[bytes | None]) -> str | None:
    """Return a call's text; a buffer is read only once, because many calls could name it."""
    index = entry.get("buffer")
    if isinstance(index, int) and 0 <= index < len(buffers):
        data, buffers[index] = buffers[index], None
        return None if data is None else bytes(data).decode("utf-8", "replace")
    prompt = entry.get("prompt")
    return prompt if isinstance(prompt, str) else None


def _read(entry: dict[str, Any], text: str | None) -> tuple[Call | None, str | None]:
    """Return the call that an entry describes, or what is wrong with it."""
    kind, model, name = entry.get("kind"), entry.get("model"), entry.get("name")
    if kind not in KINDS:
        return None, f"a call has the unknown kind {kind!r:.40}"
    if not (model is None or isinstance(model, str)) or not (name is None or isinstance(name, str)):
        return None, "a call's model and name must be text"
    prompt: Any = text
    if text is not None and entry.get("json"):
        try:
            prompt = json.loads(text) if len(text) <= MAX_CHARACTERS else None
        except (ValueError, RecursionError):
            prompt = None
        if too_deep(prompt):
            return None, f"what is asked is nested more than {MAX_LEVELS} levels deep"
    if kind == "tool":
        if not isinstance(prompt, dict) or not isinstance(prompt.get("args"), list):
            return None, "a tool's arguments are malformed"
    elif not isinstance(prompt, (str, list)):
        return None, "a prompt must be text or a list of messages"
    return Call(id=str(entry["id"]), kind=kind, prompt=prompt, model=model, name=name), None
