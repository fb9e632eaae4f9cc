"""Writes the JSON Schema of our metadata: `python -m rlm.formats.notebook.schema FILE`.

The events' part is made of their classes, so that the two cannot drift apart.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rlm.events import EVENT_TYPES, CallUsage, Event
from rlm.formats.notebook.writer import NAMESPACE, SCHEMA
from rlm.trajectory.codec import required_fields

_PLACE = {
    "description": "Where a text stands: an event's number, then the keys below it.",
    "type": "array",
    "prefixItems": [{"type": "integer", "minimum": 0}],
    "items": {"type": ["string", "integer"]},
    "minItems": 2,
}

_TEXT = {
    "description": "A text, or what the notebook says of one.",
    "anyOf": [
        {"type": "string"},
        *(
            {"type": "object", "properties": {name: form}, "required": [name], "maxProperties": 1}
            for name, form in {
                "$same": _PLACE | {"description": "The text that stands at this place."},
                "$part": {
                    "description": "A part of the text at a place: from, to, in characters.",
                    "type": "array",
                    "prefixItems": [_PLACE, {"type": "integer"}, {"type": "integer"}],
                    "items": False,
                    "minItems": 3,
                },
                "$join": {
                    "description": "Texts, one after another.",
                    "type": "array",
                    "items": {"$ref": "#/$defs/text"},
                },
                "$escaped": {
                    "description": "The text as JSON in ASCII: it has half a surrogate pair.",
                    "type": "string",
                },
                "$output": {
                    "description": "An image of the cell's output: index, mime type.",
                    "type": "array",
                },
            }.items()
        ),
    ],
}

_NUMBER = {
    "description": "A number, or the spelling of one that JavaScript or JSON does not have.",
    "anyOf": [
        {"type": "number"},
        {
            "type": "object",
            "properties": {"$number": {"type": "string"}},
            "required": ["$number"],
            "maxProperties": 1,
        },
    ],
}

_OUTPUT = {
    "description": "A notebook output as the kernel sent it, or where the cell shows it.",
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "$output": {
                    "description": "Index among the cell's outputs; then of a result its execution "
                    "count, of a stream's text where it starts and ends, in characters.",
                    "type": "array",
                    "items": {"type": ["integer", "null"]},
                    "minItems": 1,
                    "maxItems": 3,
                }
            },
            "required": ["$output"],
            "maxProperties": 1,
        },
        {"$ref": "#/$defs/object"},
    ],
}


def notebook_schema() -> dict[str, Any]:
    """Return the JSON Schema of a run's notebook, as far as it is ours."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run's notebook",
        "description": f"What `metadata.{NAMESPACE}` of a notebook (nbformat 4.5) and of its cells "
        "holds. Everything else is as nbformat says. See notebook-format.md.",
        "type": "object",
        "properties": {
            "nbformat": {"const": 4},
            "metadata": {
                "type": "object",
                "properties": {NAMESPACE: {"$ref": "#/$defs/notebook"}},
                "required": [NAMESPACE],
            },
            "cells": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "metadata": {
                            "type": "object",
                            "properties": {NAMESPACE: {"$ref": "#/$defs/cell"}},
                        }
                    },
                },
            },
        },
        "required": ["nbformat", "metadata", "cells"],
        "$defs": {
            "notebook": _NOTEBOOK,
            "cell": _CELL,
            "event": {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in EVENT_TYPES]},
            **{name: _event(cls) for name, cls in EVENT_TYPES.items()},
            "text": _TEXT,
            "number": _NUMBER,
            "object": {"type": "object"},
            "output": _OUTPUT,
        },
    }


_NOTEBOOK = {
    "type": "object",
    "properties": {
        "schema": {"description": "The number of this format.", "const": SCHEMA},
        "events": {
            "description": "How many events the cells hold together.",
            "type": "integer",
            "minimum": 0,
        },
        "status": {
            "description": "How the run ended; null while it goes on, or when it was killed.",
            "type": ["string", "null"],
        },
        "context_file": {
            "description": "The file beside the notebook that has the context.",
            "type": "object",
            "properties": {
                "path": {"description": "Relative to the notebook.", "type": "string"},
                "form": {"enum": ["text", "json", "bytes"]},
                "bytes": {"type": "integer"},
                "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            },
            "required": ["path", "form", "bytes", "sha256"],
        },
    },
    "required": ["schema", "events"],
}

_CELL = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["run", "turn", "cell", "calls", "child", "loose", "restore"]},
        "outputs": {
            "description": "Of a code cell: a digest of the outputs that events name.",
            "type": "string",
        },
        "events": {"type": "array", "items": {"$ref": "#/$defs/event"}},
    },
    "required": ["kind"],
    "additionalProperties": False,
}


def _event(cls: type[Event]) -> dict[str, Any]:
    hints = {name: hint for name, hint in get_type_hints(cls).items() if name != "type"}
    fields = {name: _value(hint) for name, hint in hints.items()}
    if "output" in fields:
        fields["output"] = {"$ref": "#/$defs/output"}
    properties = {
        "n": {"description": "Its number in the run, from 0.", "type": "integer", "minimum": 0},
        "type": {"const": cls.type},
        **fields,
    }
    return {
        "description": (cls.__doc__ or "").strip().split("\n", 1)[0],
        "type": "object",
        "properties": properties,
        "required": ["n", "type", *sorted(required_fields(cls))],
        "additionalProperties": False,
    }


def _value(hint: Any) -> dict[str, Any]:
    """Return the schema of a field's type in its portable form."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(inside)}
    if origin in {Union, UnionType}:
        return {"anyOf": [{"type": "null"}, *(_value(h) for h in inside if h is not NoneType)]}
    if origin is tuple:
        return {"type": "array", "items": _value(inside[0])}
    if hint is CallUsage:
        kept = {name: _value(h) for name, h in get_type_hints(CallUsage).items()}
        return {"type": "object", "properties": kept, "additionalProperties": False}
    if origin is dict:
        return {"$ref": "#/$defs/object"}
    if hint is Any:
        return {}
    return {"$ref": "#/$defs/text" if hint is str else "#/$defs/number"}


if __name__ == "__main__":
    text = json.dumps(notebook_schema(), indent=2, ensure_ascii=False)
    Path(sys.argv[1]).write_text(f"{text}\n", encoding="utf-8")
