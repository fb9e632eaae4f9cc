"""The reserved names of a model's REPL, put back around every cell.

`context`, `answer`, `llm_query` and the others are ordinary variables that a cell may overwrite
or delete. The model's own variables are never touched.
"""

from __future__ import annotations

import reprlib
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

ANSWER_CHARACTERS = 10_000_000
"""An answer is cut at this length: it travels in one message."""

MAX_VARIABLES = 200
"""Variables that are reported after a cell at most."""

_SHOWN_ITEMS = 6

_PREVIEW = reprlib.Repr()
_PREVIEW.maxstring = _PREVIEW.maxother = 100
_PREVIEW.maxlevel = 2
_PLAIN_TYPES = (
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(None),
    list,
    tuple,
    dict,
    set,
    frozenset,
)


class ReservedNames:
    """The reserved names of one kernel's namespace.

    Args:
        namespace: The shell's `user_ns`.
        functions: The query functions, by name.
        permanent: Whether all names are always put back (a model's kernel), or only deleted
            functions (a notebook kernel).
    """

    def __init__(
        self,
        namespace: MutableMapping[str, Any],
        functions: dict[str, Callable[..., Any]],
        *,
        permanent: bool,
    ) -> None:
        self._namespace = namespace
        self._permanent = permanent
        self._kept: dict[str, Any] = dict(functions)
        self._kept["SHOW_VARS"] = self.show_vars
        self._kept["FINAL"] = self.final
        self._kept["FINAL_VAR"] = self.final_var
        self._answer: dict[str, Any] = {}
        self.reset_answer()
        self.put_back()
        self._given = set(namespace)

    def keep(self, name: str, value: Any, *, append: bool = False) -> None:
        """Reserve a name (a context, a history, a tool), or append to the list that it holds.

        ``context_0`` and ``history_0`` also bind ``context`` and ``history``.
        """
        if append and isinstance(self._kept.get(name), list):
            self._kept[name].extend(value)
        else:
            self._kept[name] = value
        base, _, number = name.rpartition("_")
        if number == "0" and base in {"context", "history"}:
            self._kept[base] = self._kept[name]
            self._namespace[base] = self._kept[name]
        self._namespace[name] = self._kept[name]

    def reset_answer(self) -> None:
        """Begin a run, which has no answer yet."""
        self._answer = {"content": "", "ready": False}
        self._namespace["answer"] = self._answer

    def put_back(self) -> None:
        """Restore the reserved names."""
        for name, value in self._kept.items():
            if self._permanent or (callable(value) and name not in self._namespace):
                self._namespace[name] = value
        answer = self._namespace.get("answer")
        if isinstance(answer, dict):
            self._answer = answer  # a model may answer by rebinding it to a plain dict
        elif self._permanent:
            self._namespace["answer"] = self._answer

    def answer(self) -> tuple[str | None, str]:
        """Return the final answer (None until `ready`) and the draft (the content so far)."""
        try:
            content = self._answer.get("content", "")
            draft = content if isinstance(content, str) else str(content)
        except Exception as error:  # noqa: BLE001 - the model's own __str__ may do anything
            draft = f"[the answer cannot be shown: {type(error).__name__}]"
        if len(draft) > ANSWER_CHARACTERS:
            cut = len(draft) - ANSWER_CHARACTERS
            draft = f"{draft[:ANSWER_CHARACTERS]}... + [{cut:,} chars...]"
        try:
            ready = bool(self._answer.get("ready"))
        except Exception:  # noqa: BLE001 - an array, say, has no truth value
            ready = False
        return (draft if ready else None), draft

    def variables(self) -> dict[str, dict[str, str]]:
        """Return the model's variables: name to type and a short preview."""
        found: dict[str, dict[str, str]] = {}
        for name, value in list(self._namespace.items()):
            if (
                name.startswith("_")
                or name in self._given
                or name in self._kept
                or isinstance(value, types.ModuleType)
            ):
                continue
            found[name] = {"type": type(value).__name__, "preview": _preview(value)}
            if len(found) == MAX_VARIABLES:
                break
        return found

    def text_of(self, name: str) -> str | None:
        """Return `str()` of a variable; None when there is no such variable."""
        if name not in self._namespace:
            return None
        try:
            return str(self._namespace[name])[:ANSWER_CHARACTERS]
        except Exception as error:  # noqa: BLE001 - the model's own __str__ may do anything
            return f"[{name} cannot be shown: {type(error).__name__}]"

    def show_vars(self) -> str:
        """List the variables you made, with their types."""
        variables = self.variables()
        if not variables:
            return "No variables created yet. Use ```repl``` blocks to create some."
        return f"Available variables: { {name: v['type'] for name, v in variables.items()} }"

    def final(self, content: Any = "") -> None:
        """Submit the final answer (the older protocol): the same as setting `answer`."""
        self._answer = {"content": content, "ready": True}
        self._namespace["answer"] = self._answer

    def final_var(self, name: Any) -> str | None:
        """Submit a variable's value as the final answer (the older protocol)."""
        if not isinstance(name, str):
            self.final(name)
            return None
        key = name.strip().strip("\"'")
        if key in self._namespace:
            self.final(self._namespace[key])
            return None
        if not key.isidentifier():
            self.final(name)
            return None
        return f"Error: there is no variable {key!r}. {self.show_vars()}"


def _preview(value: Any) -> str:
    """Describe a value without running its code."""
    kind = type(value)
    if kind in (list, tuple, dict, set, frozenset):
        if len(value) <= _SHOWN_ITEMS and all(type(item) in _PLAIN_TYPES for item in value):
            return _safe_repr(value)
        return f"{kind.__name__} of {len(value):,}"
    if kind in (str, bytes) and len(value) > 100:  # noqa: PLR2004
        return f"{_safe_repr(value[:80])}... ({len(value):,} long)"
    if kind in _PLAIN_TYPES:
        return _safe_repr(value)
    if kind is types.FunctionType:
        return f"function {value.__name__}"
    return f"<{kind.__name__}>"


def _safe_repr(value: Any) -> str:
    try:
        return _PREVIEW.repr(value)
    except Exception:  # noqa: BLE001 - an int of a million digits, say
        return f"<{type(value).__name__}>"
