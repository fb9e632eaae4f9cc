"""Looks up the variables that `-v NAME` and `{name}` in a question name."""

from __future__ import annotations

import datetime as dt
import difflib
import numbers
import re
import types
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

SMALL = 1_000
"""The most characters that braces insert; for longer text there is `-v`."""

_SMALL_ITEMS = 100
_BRACES = re.compile(r"(?<!\{)\{([^\W\d]\w*)\}(?!\})")
_RESULTS = re.compile(r"_+\d*")
_SCALARS = (
    str,
    bool,
    numbers.Number,
    PurePath,
    dt.date,
    dt.time,
    dt.timedelta,
    types.NoneType,
)


def variable_names(shell: InteractiveShell) -> list[str]:
    """Return the names of the user's variables, without modules and functions."""
    code = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
    return sorted(
        name
        for name, value in list(shell.user_ns.items())
        if _is_own(shell, name) and not name.startswith("_") and not isinstance(value, code)
    )


def context_of(names: list[str], shell: InteractiveShell) -> Any:
    """Return the context that `-v` names: a variable's value, or a dict of several."""
    values = {name: _value(name, shell) for name in names}
    if len(values) == 1:
        return values[names[0]]
    return {name: _readable(value) for name, value in values.items()}


def fill_braces(question: str, shell: InteractiveShell) -> str:
    """Return a question with ``{name}`` replaced where the notebook has a small `name`.

    Numbers, short text, dates, paths and small collections of them are small. All other braces
    stay as they are, so JSON and code need no escaping.
    """

    def fill(braces: re.Match[str]) -> str:
        name = braces[1]
        if not _is_own(shell, name):
            return braces[0]
        text = _small_text(shell.user_ns[name])
        return braces[0] if text is None else text

    return _BRACES.sub(fill, question)


def _is_own(shell: InteractiveShell, name: str) -> bool:
    """Whether a name is the user's or a past result's, not one of IPython's."""
    own = name not in shell.user_ns_hidden or _RESULTS.fullmatch(name) is not None
    return own and name in shell.user_ns


def _value(name: str, shell: InteractiveShell) -> Any:
    if name not in shell.user_ns:
        known = variable_names(shell)
        close = difflib.get_close_matches(name, known, 3)
        there = f"Did you mean {' or '.join(close)}?" if close else _there(known)
        raise UsageError(f"-v {name}: the notebook has no variable {name!r}. {there}")
    value = shell.user_ns[name]
    # The sandbox lacks the class `Answer`: it gets a plain str.
    return str(value) if isinstance(value, str) else value


def _there(known: list[str]) -> str:
    if not known:
        return "It has none yet: run the cell that makes it first."
    some = ", ".join(known[:10])
    return f"There are {some}{', ...' if known[10:] else ''}."


def _readable(value: Any) -> Any:
    """Read a path among several variables; the engine reads a single one."""
    if not isinstance(value, Path):
        return value
    from rlm_kernel.context.read_path import read_path

    return read_path(value)[0]


def _small_text(value: Any) -> str | None:
    """Return a small value as text; None when it is not small."""
    if isinstance(value, str):
        return str(value) if len(value) <= SMALL else None
    if not isinstance(value, _SCALARS):
        if type(value) not in {list, tuple, set, frozenset, dict} or len(value) > _SMALL_ITEMS:
            return None
        items = [*value, *value.values()] if isinstance(value, dict) else value
        if not all(isinstance(item, _SCALARS) and _small_text(item) is not None for item in items):
            return None
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - a foreign object's method may raise anything
        return None
    return text if len(text) <= SMALL else None
