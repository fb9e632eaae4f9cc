"""The context of a recorded run: from the log when it is small, else given and checked."""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.core.context import describe
from rlm.core.fingerprint import fingerprint
from rlm.errors import ContextError, ContextMismatchError
from rlm.notebook.side_file import CONTEXT_SUFFIXES, side_folder
from rlm.replay.plan import NOT_GIVEN
from rlm_kernel.host.payload import context_value
from rlm_kernel.inside.loading import load
from rlm_kernel.inside.reading import read_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rlm.core.context import ContextInfo
    from rlm.trajectory import RunNode


def context_file(about: Mapping[str, Any], log: Path) -> Path | None:
    """Return the file beside a log that has its context; None when there is none.

    Args:
        about: What the log says of the context.
        log: The log's file.
    """
    suffix = CONTEXT_SUFFIXES.get(str(about.get("form")))
    if suffix is None or "value" in about:
        return None
    file = side_folder(log) / f"context{suffix}"
    return file if file.is_file() and file.stat().st_size == about.get("bytes") else None


def context_of(run: RunNode, given: Any, log: Path | None = None) -> tuple[Any, ContextInfo]:
    """Return a recorded run's context, and what the model was told of it.

    Args:
        run: The recorded run.
        given: What was given in its place; `NOT_GIVEN` takes the log's own. A `Path` is read.
        log: The log's file: the context may be in a file beside it.

    Raises:
        ContextError: The log does not hold its context, and none was given.
        ContextMismatchError: What was given is not what the run was about.
    """
    about = run.context
    if given is NOT_GIVEN:
        beside = None if log is None else context_file(about, log)
        value = _inline(about) if beside is None else load(str(beside), str(about["form"]))
    else:
        value = read_path(given)[0] if isinstance(given, Path) else given
    _check(about, value)
    return value, replace(describe(value), description=str(about.get("description", "")))


def _inline(about: dict[str, Any]) -> Any:
    """Return the context that is in the log itself."""
    if "value" not in about:
        raise ContextError(
            f"The log does not hold its context, {_named(about)}: it is too long, of a "
            "kind that logs do not hold, or has a secret in it. Give it: context=..., a value or a "
            "pathlib.Path"
            f"{_hash_named(about)}."
        )
    value = about["value"]
    if about.get("form") != "bytes":
        return value
    try:
        return b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ContextError(f"The log's own context is no Base64 text: {error}.") from error


def _check(about: dict[str, Any], value: Any) -> None:
    """Compare a context with what the log says of it.

    Raises:
        ContextMismatchError: It is another.
    """
    expected = about.get("sha256")
    if expected is None:  # Killed before it was hashed, or the reference's own log.
        now = describe(value)
        known = {name: about.get(name) for name in ("type", "length", "preview")}
        if all(what in {None, "", 0, getattr(now, name)} for name, what in known.items()):
            return
        raise ContextMismatchError(
            f"The run was about {_named(about)}, and the context given is {now.description}."
        )
    found = fingerprint(context_value(value))
    if found.sha256 == expected:
        return
    raise ContextMismatchError(
        f"The context is not the one that the run was about, {_named(about)}: its SHA-256 is "
        f"{found.sha256}, and the log says {expected}. "
        + (
            "It was pickled, and another version of its library may pickle the same value "
            "differently."
            if about.get("form") == "pickle"
            else "Give the very same text, bytes or value; an edited file is another."
        ),
        expected=str(expected),
        found=found.sha256,
    )


def _named(about: dict[str, Any]) -> str:
    return str(about.get("description") or "a value of which it says nothing")


def _hash_named(about: dict[str, Any]) -> str:
    return f" whose SHA-256 is {about['sha256']}" if about.get("sha256") else ""
