"""Writes the JSON Schema of our metadata: `python -m rlm.formats.notebook.schema FILE`.

The part about events is made from their classes, so that the two cannot drift apart.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rlm.events import EVENT_TYPES, CallUsage, Event
from rlm.formats.notebook.record import GROUP, NAMESPACE, SCHEMA
from rlm.trajectory.codec import required_fields

_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def notebook_schema() -> dict[str, Any]:
    """Return the JSON Schema of a run's notebook, as far as it is ours."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run's notebook",
        "description": f"What `metadata.{NAMESPACE}` of a notebook (nbformat 4.5) and of its cells "
        "holds. Everything else is nbformat's. See notebook-format.md.",
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
        },
    }


_NOTEBOOK = {
    "type": "object",
    "properties": {
        "schema": {"description": "The number of this format.", "const": SCHEMA},
        "status": {
            "description": "How the run ended; null while it goes on, or when it was killed.",
            "type": ["string", "null"],
        },
        "count": {
            "description": "How many events the record has, in decimal digits.",
            "type": "string",
            "pattern": "^[0-9]+$",
        },
        "sha256": {
            "description": "The hash over all events: each one's string in UTF-8 and a newline.",
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
        },
        "events": {
            "description": f"Every event of the run in order, in lists of {GROUP}.",
            "type": "array",
            "items": {
                "type": "array",
                "maxItems": GROUP,
                "items": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": "#/$defs/event"},
                },
            },
        },
        "context_file": {
            "description": "The file beside the notebook that has the context.",
            "type": "object",
            "properties": {
                "path": {"description": "Relative to the notebook.", "type": "string"},
                "form": {"enum": ["text", "json", "bytes"]},
                "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            },
            "required": ["path", "form", "sha256"],
        },
    },
    "required": ["schema", "status", "count", "sha256", "events"],
}

_CELL = {
    "type": "object",
    "properties": {
        "node": {"description": "The id of the run, turn, cell or call it shows.", "type": "string"}
    },
    "required": ["node"],
    "additionalProperties": False,
}


def _event(cls: type[Event]) -> dict[str, Any]:
    hints = {name: hint for name, hint in get_type_hints(cls).items() if name != "type"}
    fields = {name: _value(hint) for name, hint in hints.items()}
    return {
        "description": (cls.__doc__ or "").strip().split("\n", 1)[0],
        "type": "object",
        "properties": {"type": {"const": cls.type}, **fields},
        "required": ["type", *sorted(required_fields(cls))],
        "additionalProperties": False,
    }


def _value(hint: Any) -> dict[str, Any]:
    """Return the schema of a field's type."""
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
        return {"type": "object"}
    if hint is Any:
        return {}
    return {"type": _JSON_TYPES[hint]}


if __name__ == "__main__":
    text = json.dumps(notebook_schema(), indent=2, ensure_ascii=False)
    Path(sys.argv[1]).write_text(f"{text}\n", encoding="utf-8")
