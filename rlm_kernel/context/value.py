"""How a value travels into a kernel: as text, bytes or JSON where possible, else as a pickle."""

from __future__ import annotations

import json
import math
import pickle
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from rlm_kernel.errors import ContextError

if TYPE_CHECKING:
    from collections.abc import Iterator

Form = Literal["text", "bytes", "json", "pickle"]

CHUNK_CHARACTERS = 1_000_000
"""Characters that are encoded at a time: the host never holds a second copy of a long text.

Small enough that the allocator reuses the same memory for each chunk: with four times this size,
encoding 1 GB took five times as long, all of it spent on fresh pages.
"""

_MAX_JSON_DEPTH = 200
_SURROGATE = re.compile("[\ud800-\udfff]")


class HashMemo:
    """The SHA-256 of one value, once a thread has computed it (see `rlm_kernel.context.hash`).

    Attributes:
        changed: Guards the other two; notified when they change.
        taking: Whether a thread is hashing the value.
        found: The hash (`ContextHash`), or None.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.taking = False
        self.found: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextValue:
    """A value on its way into a kernel, as it was when this was made.

    Attributes:
        form: How the value is written.
        value: The value itself; with the form ``"pickle"``: its pickle.
        type_name: The value's type, for messages.
        json_text: With the form ``"json"``: the JSON text, in chunks.
        memo: The value's hash, as soon as it is known.
    """

    form: Form
    value: Any
    type_name: str
    json_text: tuple[bytes, ...] = field(default=(), repr=False)
    memo: HashMemo = field(default_factory=HashMemo, repr=False, compare=False)

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes that `rlm_kernel.context.load.load` reads in the kernel."""
        if self.form == "text":
            for start in range(0, len(self.value), CHUNK_CHARACTERS):
                text = self.value[start : start + CHUNK_CHARACTERS]
                yield text.encode("utf-8", "surrogatepass")
        elif self.form == "json":
            yield from self.json_text
        else:
            data = memoryview(self.value)
            for start in range(0, len(data), CHUNK_CHARACTERS):
                yield data[start : start + CHUNK_CHARACTERS]

    def write(self, file: BinaryIO) -> None:
        """Write the value to a file."""
        file.writelines(self.chunks())


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedContext:
    """A value in a file that kernels of a sandbox can open.

    Attributes:
        path: The file, as a kernel sees it.
        form: How the value is written.
        type_name: The value's type, for messages.
        bytes: The file's size.
    """

    path: str
    form: Form
    type_name: str
    bytes: int


def _json_chunks(value: Any) -> Iterator[bytes]:
    """Yield a JSON value's text in chunks, encoded item by item at the C encoder's speed.

    `ensure_ascii` (the default) keeps lone surrogates.
    """
    if type(value) is list:
        opening, closing = "[", "]"
        items = (json.dumps(item) for item in value)
    elif type(value) is dict:
        opening, closing = "{", "}"
        items = (f"{json.dumps(key)}: {json.dumps(item)}" for key, item in value.items())
    else:
        yield json.dumps(value).encode()
        return
    waiting, size = [opening], 0
    for number, item in enumerate(items):
        waiting.append(f", {item}" if number else item)
        size += len(item)
        if size > CHUNK_CHARACTERS:
            yield "".join(waiting).encode()
            waiting, size = [], 0
    waiting.append(closing)
    yield "".join(waiting).encode()


def context_value(value: Any) -> ContextValue:
    """Decide how a value travels, and serialise it.

    Text, bytes and JSON values travel as they are, all others as a pickle (protocol 5). A value
    that JSON would change (tuples, sets, keys that are not text) is pickled, to arrive intact.

    Raises:
        ContextError: The value cannot be pickled.
    """
    name = type(value).__name__
    if type(value) is str:
        return ContextValue(form="text", value=value, type_name=name)
    if type(value) is bytes:
        return ContextValue(form="bytes", value=value, type_name=name)
    if _is_json(value, set()):
        text = tuple(_json_chunks(value))
        return ContextValue(form="json", value=value, type_name=name, json_text=text)
    try:
        pickled = pickle.dumps(value, protocol=5)
    except Exception as error:
        raise ContextError(
            f"The context is a {name} and cannot be pickled, so it cannot be sent to the REPL: "
            f"{error}. Give text, bytes, JSON values, or an object that can be pickled."
        ) from error
    return ContextValue(form="pickle", value=pickled, type_name=name)


def _is_json(value: Any, seen: set[int], depth: int = 0) -> bool:
    """Return whether JSON restores a value exactly.

    `seen` holds the ids of the containers so far: JSON cannot express one that is shared.
    """
    kind = type(value)
    if kind is str:
        return value.isascii() or not _SURROGATE.search(value)  # JSON would join a pair of them
    if kind in (bool, type(None)):
        return True
    if kind is int:
        return bool(-(1 << 63) <= value < 1 << 63)
    if kind is float:
        return math.isfinite(value)
    if kind not in (list, dict) or depth > _MAX_JSON_DEPTH or (value and id(value) in seen):
        return False
    seen.add(id(value))
    if kind is list:
        return all(_is_json(item, seen, depth + 1) for item in value)
    return all(
        type(key) is str and _is_json(key, seen) and _is_json(item, seen, depth + 1)
        for key, item in value.items()
    )


def load_failure(placed: PlacedContext, reply: dict[str, Any]) -> str:
    """Say why the kernel could not load a context, and what to do."""
    what = f"The context ({placed.type_name}, {placed.bytes:,} bytes)"
    why = f"{reply.get('ename')}: {reply.get('evalue')}"
    if reply.get("ename") in ("ModuleNotFoundError", "ImportError"):
        module = str(reply.get("module", "")).partition(".")[0]
        return (
            f"{what} needs the module {module!r}, which the sandbox does not have ({why}). "
            f"Install it there: environment_kwargs={{'packages': [{module!r}]}}."
        )
    if reply.get("ename") == "AttributeError" and "__main__" in str(reply.get("evalue")):
        return (
            f"{what} has a class that is defined in your script or notebook, which the REPL cannot "
            f"import ({why}). Put the class in a module, or pass plain values."
        )
    return f"{what} could not be loaded in the REPL: {why}"
