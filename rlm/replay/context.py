"""Finds the context of a recorded run: in the log or beside it, or as given and checked."""

from __future__ import annotations

import binascii
import re
import shlex
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.context import describe
from rlm.core.replay_port import NOT_GIVEN
from rlm.errors import ContextError, ContextMismatchError
from rlm.formats.notebook.sidecar import CONTEXT_SUFFIXES, context_file
from rlm_kernel.context.hash import hash_context
from rlm_kernel.context.load import load
from rlm_kernel.context.read_path import form_of, readings
from rlm_kernel.context.value import context_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rlm.context import ContextInfo
    from rlm.trajectory import RunNode

_SAME = "Give exactly the same text, bytes or value: an edited file is another context."

_ADVICE = {
    "json": "A file is read as JSON. If you made the value in another way, give the value itself.",
    "pickle": (
        "It was pickled: give the object itself. Another version of its library may pickle it "
        "differently."
    ),
}

_UNSAID = (None, "", 0, "unknown")
"""Values in the reference's log that do not describe a context."""

_BEGINNING = 60
"""Characters of a context that a message shows."""

_LINE = 1000
"""Characters of a description that a message shows."""

_BEFORE = 20
"""Characters that a message shows before a difference."""


def context_of(run: RunNode, given: Any, log: Path | None = None) -> tuple[Any, ContextInfo]:
    """Return a recorded run's context, and its description as the model saw it.

    `NOT_GIVEN` means the context in the log, or in a file beside it. A `Path` is read in the form
    that the context had: text, bytes, or JSON.
    """
    about = run.context
    if given is NOT_GIVEN:
        beside = None if log is None else context_file(about, log)
        found = _inline(about) if beside is None else _beside(beside, str(about["form"]))
        values, origin = iter([found]), "" if beside is None else f", read from {str(beside)!r}"
    elif isinstance(given, Path):
        values, origin = readings(given, form_of(about)), f", read from {str(given)!r}"
    else:
        values, origin = iter([given]), ""
    first = value = next(values)
    while not _is_recorded(about, value):
        try:
            value = next(values)
        except StopIteration:
            raise _mismatch(about, first, origin) from None
    return value, replace(describe(value), description=str(about.get("description", "")))


def _beside(file: Path, form: str) -> Any:
    """Return the context from the file beside the log; of a damaged file its bytes."""
    try:
        return load(str(file), form)
    except (ValueError, RecursionError):
        return file.read_bytes()


def _inline(about: dict[str, Any]) -> Any:
    """Return the context in the log."""
    if "value" not in about:
        raise ContextError(_asked_for(about))
    value = about["value"]
    if about.get("form") != "bytes":
        return value
    try:
        return b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ContextError(f"The context in the log is not Base64 text: {error}.") from error


def _asked_for(about: Mapping[str, Any]) -> str:
    """Return the message for a context that the log does not hold: what it was, how to give it."""
    preview, digest, form = about.get("preview"), about.get("sha256"), form_of(about)
    what = f"It was {_named(about)}"
    what += f"; it begins {_beginning(preview)}" if preview else ""
    what += f". Its SHA-256 is {_line(digest)}" if digest else ""
    if form == "pickle" or (not form and about.get("type") not in _UNSAID):
        return (
            f"The log does not hold its context: logs hold text, JSON and bytes only. {what}.\n"
            "Give the object itself, in Python: context=..."
        )
    name = re.search(r"the (?:file|text files of the folder) '([^'\\]+)'(?!\.)", _named(about))
    file = name[1] if name else "FILE" + CONTEXT_SUFFIXES.get(form, "")
    return (
        "The log does not hold its context: it was longer than 64 KB, contains a secret, was left "
        "out on purpose, or this kind of log holds none (.jsonl). "
        f"{what}.\nGive it: context=Path({file!r}), or the value; on the command line: "
        f"--context {shlex.quote(file)}"
    )


def _is_recorded(about: Mapping[str, Any], value: Any) -> bool:
    """Whether a value is the context that a log describes."""
    expected = about.get("sha256")
    if expected is not None:
        return hash_context(context_value(value)).sha256 == str(expected)
    # The run was killed before the hash was known, or the log is the reference's.
    now = describe(value)
    known = {name: about.get(name) for name in ("type", "length", "preview")}
    return all(what in (*_UNSAID, getattr(now, name)) for name, what in known.items())


def _mismatch(about: Mapping[str, Any], value: Any, origin: str) -> ContextMismatchError:
    """Return the error for a value that is not the recorded context."""
    now, expected = describe(value, origin), about.get("sha256")
    text = (
        f"The context given is not the one that the run was about: it is {now.description}, and "
        f"the run's was {_named(about)}."
    )
    recorded = about.get("preview")
    if recorded and isinstance(recorded, str) and now.type == about.get("type"):
        text += f" {_difference(recorded, now.preview)}"
    if expected is None:
        return ContextMismatchError(text)
    found = hash_context(context_value(value)).sha256
    advice, recorded = _ADVICE.get(form_of(about), _SAME), _line(str(expected))
    return ContextMismatchError(
        f"{text} Its SHA-256 is {found}; the recorded one is {recorded}.\n{advice}",
        expected=str(expected),
        found=found,
    )


def _difference(recorded: str, now: str) -> str:
    """Say where the beginnings of two contexts differ."""
    if recorded == now:
        return "Both begin with the same text."
    pairs = zip(recorded, now, strict=False)
    shared = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(recorded), len(now)))
    start = max(shared - _BEFORE, 0)
    return f"It has {_beginning(now[start:])} where the run's had {_beginning(recorded[start:])}."


def _named(about: Mapping[str, Any]) -> str:
    return _line(about.get("description")) or "a value that the log does not describe"


def _line(text: object) -> str:
    """Return a log's text, shortened and printable, for a message: the log may be hostile."""
    shown = text[:_LINE] if isinstance(text, str) else ""
    return "".join(c if c.isprintable() else "?" for c in shown)


def _beginning(text: object) -> str:
    shown = str(text)
    return repr(shown) if len(shown) <= _BEGINNING else f"{shown[:_BEGINNING]!r}..."
