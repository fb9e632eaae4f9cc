"""How a value travels into a kernel: natively when it can, else as the host's own pickle."""

from __future__ import annotations

import json
import math
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from rlm_kernel.errors import ContextError

Form = Literal["text", "bytes", "json", "pickle"]

CHUNK = 1_000_000
"""Characters that are encoded at a time: the host never holds a second copy of a long text.

Small enough that the allocator reuses the same memory for each: at four times this the encoding of
1 GB took five times as long, all of it spent on fresh pages.
"""

_MAX_JSON_DEPTH = 200
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextValue:
    """A value on its way into a kernel.

    Attributes:
        form: How it is written.
        value: The value itself; of the form ``"pickle"``: its pickle.
        type_name: The value's type, for messages.
    """

    form: Form
    value: Any
    type_name: str

    def write(self, file: BinaryIO) -> None:
        """Write the value as a kernel's `rlm_kernel.context.load.load` reads it."""
        if self.form == "text":
            for start in range(0, len(self.value), CHUNK):
                chunk = self.value[start : start + CHUNK]
                file.write(chunk.encode("utf-8", "surrogatepass"))
        elif self.form == "json":
            _write_json(self.value, file)
        else:
            file.write(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedContext:
    """A value that lies where kernels of a sandbox can open it.

    Attributes:
        path: The file, as a kernel sees it.
        form: How it is written.
        type_name: The value's type, for messages.
        bytes: The file's size.
    """

    path: str
    form: Form
    type_name: str
    bytes: int


def _write_json(value: Any, file: BinaryIO) -> None:
    """Write a JSON value item by item: at the C encoder's speed, without a copy of the whole.

    `ensure_ascii` (the default) keeps lone surrogates.
    """
    if type(value) is list:
        opening, closing = b"[", b"]"
        items = (json.dumps(item) for item in value)
    elif type(value) is dict:
        opening, closing = b"{", b"}"
        items = (f"{json.dumps(key)}: {json.dumps(item)}" for key, item in value.items())
    else:
        file.write(json.dumps(value).encode())
        return
    file.write(opening)
    for number, item in enumerate(items):
        file.write(b", " if number else b"")
        file.write(item.encode())
    file.write(closing)


def context_value(value: Any) -> ContextValue:
    """Decide how a value travels.

    Text, bytes and JSON values travel as they are, the rest as a pickle (protocol 5). A value that
    JSON would change (tuples, sets, keys that are not text) is pickled, so that it arrives intact.

    Raises:
        ContextError: The value cannot be pickled.
    """
    name = type(value).__name__
    if type(value) is str:
        return ContextValue(form="text", value=value, type_name=name)
    if type(value) is bytes:
        return ContextValue(form="bytes", value=value, type_name=name)
    if _is_json(value, set()):
        return ContextValue(form="json", value=value, type_name=name)
    try:
        pickled = pickle.dumps(value, protocol=5)
    except Exception as error:
        raise ContextError(
            f"The context is a {name} and cannot be pickled, so it cannot be sent to the REPL: "
            f"{error}. Give text, bytes, JSON values, or an object that can be pickled."
        ) from error
    return ContextValue(form="pickle", value=pickled, type_name=name)


def _is_json(value: Any, seen: set[int], depth: int = 0) -> bool:
    """Tell whether JSON brings a value back exactly as it is.

    Args:
        value: Any value.
        seen: Containers met so far: one that is met twice is shared, which JSON cannot say.
        depth: How deep it is nested.
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


def write_context(value: ContextValue, path: Path) -> PlacedContext:
    """Write a value to a file of this machine, readable by this user only.

    Raises:
        ContextError: The file system refuses (a full disk, say).
    """
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            value.write(file)
    except OSError as error:
        raise ContextError(
            f"The context could not be written to {path.parent}: {error.strerror}. "
            "Free some space, or set TMPDIR to a folder with more."
        ) from error
    return PlacedContext(
        path=str(path), form=value.form, type_name=value.type_name, bytes=path.stat().st_size
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
