"""Opens a placed context inside the kernel: text, bytes, JSON, or (host to kernel only) pickle."""

from __future__ import annotations

import json
import mmap
import pickle
from pathlib import Path
from typing import Any


def load(path: str, form: str) -> Any:
    """Return the value of a file that the host placed in this sandbox.

    Args:
        path: The file.
        form: ``"text"``, ``"bytes"``, ``"json"`` or ``"pickle"``.

    Raises:
        ValueError: The form is unknown.
        Exception: What unpickling raises, such as `ModuleNotFoundError`.
    """
    file = Path(path)
    if form == "text":
        if file.stat().st_size == 0:
            return ""  # an empty file cannot be mapped
        # Mapped, not read: one decode, and no second copy while it lasts
        with file.open("rb") as text, mmap.mmap(text.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            return str(raw, "utf-8", "surrogatepass")
    if form == "bytes":
        return file.read_bytes()
    if form == "json":
        with file.open("rb") as binary:
            return json.load(binary)
    if form == "pickle":
        # The file is the host's own: the user's value on its way in. Nothing travels out this way.
        with file.open("rb") as binary:
            return pickle.load(binary)  # noqa: S301
    raise ValueError(f"unknown form of context: {form!r}")


def loads(data: bytes, form: str) -> Any:
    """Return the value of a placed file's bytes: text, bytes or JSON."""
    if form == "bytes":
        return data
    text = data.decode("utf-8", "surrogatepass")
    return text if form == "text" else json.loads(text)
