"""Describes a context to the model and to logs by its type, size and shape, never by its text."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm_kernel.context.hash import hash_context
from rlm_kernel.context.read_path import NAME_LENGTH, NAMES, cut, quoted
from rlm_kernel.context.value import context_value

if TYPE_CHECKING:
    from rlm_kernel.context.value import Form

INLINE_LIMIT = 64 * 1024
"""Canonical bytes up to which a log holds the context itself, when it is text, JSON or bytes."""

_AT_ONCE = 1 << 20
"""The most characters or bytes to hash before the run begins; they take at most 2 ms."""

_DEPTH = 100
"""How deeply a small JSON value may be nested: one that contains itself has no end."""

_PREVIEW = 200
_DESCRIPTION = 1000
"""Characters. The model sees no more of a context, unless its code prints it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What identifies a context in a log; `rlm_kernel.context.hash` says what is hashed.

    Attributes:
        form: How it travels: `text`, `bytes`, `json` or `pickle`.
        bytes: The number of canonical bytes.
        sha256: Their hash, in hexadecimal.
        inline: Whether the context itself is in `value`.
        value: The text, the JSON value, or the bytes in Base64.
    """

    form: Form
    bytes: int
    sha256: str
    inline: bool = False
    value: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fingerprint's entries in `RunStarted.context`."""
        data = {"form": self.form, "bytes": self.bytes, "sha256": self.sha256}
        return {**data, "value": self.value} if self.inline else data


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextInfo:
    """What the model and logs are told about a context.

    Attributes:
        type: The value's type, such as ``"str"`` or ``"pandas.DataFrame"``.
        length: Characters, bytes or items; 0 if it has no length.
        description: A noun phrase such as ``"a str of 12 characters"``: one line of at most 1,000
            characters. Names from inside the context are shortened and quoted.
        preview: Its first 200 characters, for logs and viewers, not for the model.
        fingerprint: What identifies it, and a small context itself, for logs. None if hashing takes
            longer: then a note has it later in the run.
    """

    type: str
    length: int
    description: str
    preview: str
    fingerprint: Fingerprint | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form that `RunStarted.context` holds."""
        return {
            "type": self.type,
            "length": self.length,
            "description": self.description,
            "preview": self.preview,
            **(self.fingerprint.to_dict() if self.fingerprint else {}),
        }


def describe(value: Any, remark: str = "", *, inline: bool = True) -> ContextInfo:
    """Describe any Python object by its size and shape, or only by its type if those raise.

    Args:
        value: The context.
        remark: Appended to the description, such as which files were left out.
        inline: Whether logs may hold a small context itself.
    """
    kind = _type_name(value)
    try:
        length, phrase = _measure(value, kind)
    except Exception:  # noqa: BLE001 - a foreign object's own methods may raise anything
        length, phrase = 0, f"an object of type {kind}"
    return ContextInfo(
        type=kind,
        length=length,
        description=_one_line(phrase, remark),
        preview=_preview(value),
        fingerprint=quick_fingerprint(value, inline=inline),
    )


def quick_fingerprint(value: Any, *, inline: bool = True) -> Fingerprint | None:
    """Return the fingerprint of a value that is hashed at once; None for a bigger one.

    Args:
        value: Any context.
        inline: Whether the fingerprint may hold a small value itself.
    """
    if type(value) in (str, bytes):
        if len(value) > _AT_ONCE:
            return None
    elif _room_left(value, INLINE_LIMIT) < 0:
        return None
    found = hash_context(context_value(value))
    shown = None
    inline = inline and found.bytes <= INLINE_LIMIT and found.form != "pickle"
    if inline:
        shown = b64encode(value).decode() if found.form == "bytes" else value
    return Fingerprint(
        form=found.form, bytes=found.bytes, sha256=found.sha256, inline=inline, value=shown
    )


def _room_left(value: Any, size: int, depth: int = 0) -> int:
    """Subtract a JSON value's size from `size`; less than 0 means too big, too deep or not JSON."""
    kind = type(value)
    if kind is str:
        return size - len(value)
    if kind in (int, float, bool, type(None)):
        return size - 1
    if kind not in (list, dict) or depth > _DEPTH:
        return -1
    for item in value.items() if kind is dict else value:
        for part in item if kind is dict else (item,):
            size = _room_left(part, size - 1, depth + 1)
            if size < 0:
                return size
    return size


def _measure(value: Any, kind: str) -> tuple[int, str]:
    """Return a value's length and the phrase that describes it."""
    if isinstance(value, str):
        return len(value), f"a {kind} of {len(value):,} characters"
    if isinstance(value, bytes | bytearray):
        return len(value), f"a {kind} of {len(value):,} bytes"
    if isinstance(value, dict):
        size = _characters(value.values())
        return len(value), f"a {kind} of {len(value):,} keys{size}{_named(value)}"
    if isinstance(value, list | tuple | set | frozenset):
        return len(value), f"a {kind} of {len(value):,} {_item_types(value)}{_characters(value)}"
    shape = getattr(value, "shape", None)
    columns = getattr(value, "columns", None)
    if columns is not None and shape is not None:
        return int(shape[0]), (
            f"a {kind} of {shape[0]:,} rows x {shape[1]:,} columns{_columns(value)}"
        )
    if shape is not None:
        size = " x ".join(f"{int(side):,}" for side in shape) or "no dimensions"
        length = int(shape[0]) if len(shape) else 1
        return (
            length,
            f"a {kind} of shape {size} and dtype {cut(getattr(value, 'dtype', 'unknown'))}",
        )
    if hasattr(value, "size") and hasattr(value, "mode"):  # PIL
        width, height = value.size
        return int(width) * int(
            height
        ), f"a {kind} of {width} x {height} pixels ({cut(value.mode)})"
    if hasattr(value, "__len__"):
        return len(value), f"a {kind} of {len(value):,} items"
    if value is None or isinstance(value, bool | int | float):
        return len(str(value)), f"a {kind}"
    return 0, f"an object of type {kind}"


def _columns(value: Any) -> str:
    names = [quoted(name) for name in list(value.columns)[:NAMES]]
    dtypes = [cut(dtype) for dtype in list(getattr(value, "dtypes", []))[:NAMES]]
    if len(dtypes) == len(names):
        names = [f"{name} ({dtype})" for name, dtype in zip(names, dtypes, strict=True)]
    more = ", ..." if len(value.columns) > NAMES else ""
    return f": {', '.join(names)}{more}" if names else ""


def _characters(values: Any) -> str:
    """Return the total length of a collection that holds only strings, else nothing."""
    if values and all(isinstance(value, str) for value in values):
        return f" ({sum(map(len, values)):,} characters in total)"
    return ""


def _item_types(values: Any) -> str:
    kinds = sorted({cut(type(value).__name__) for value in values})
    if len(kinds) == 1:
        return f"items, all {kinds[0]}"
    return f"items of types {', '.join(kinds[:NAMES])}" if kinds else "items"


def _named(value: dict[Any, Any]) -> str:
    if not value or len(value) > NAMES:
        return ""
    return f": {', '.join(map(quoted, value))}"


def _type_name(value: Any) -> str:
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__name__
    return cut(f"{str(kind.__module__).partition('.')[0]}.{kind.__name__}", 2 * NAME_LENGTH)


def _one_line(phrase: str, remark: str) -> str:
    """Return a description as one line of bounded length: an object's names may be anything."""
    phrase, remark = (
        "".join(c if c.isprintable() else "?" for c in text[: 2 * _DESCRIPTION])
        for text in (phrase, remark)
    )
    text = phrase + remark
    return text if len(text) <= _DESCRIPTION else f"{text[: _DESCRIPTION - 3]}..."


def _preview(value: Any) -> str:
    """Return the first characters of a value without rendering a big one whole."""
    if isinstance(value, str):
        return value[:_PREVIEW]
    if isinstance(value, bytes | bytearray):
        return repr(bytes(value[:_PREVIEW]))[:_PREVIEW]
    if isinstance(value, dict):
        return "{" + ", ".join(_item_preview(item) for item in list(value)[:10]) + ", ...}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_item_preview(item) for item in value[:5])[:_PREVIEW] + ", ...]"
    return ""


def _item_preview(value: Any) -> str:
    if isinstance(value, str):
        return repr(value[:40])
    return repr(value) if value is None or isinstance(value, int | float) else _type_name(value)
