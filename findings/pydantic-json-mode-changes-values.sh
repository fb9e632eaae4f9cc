#!/usr/bin/env bash
# pydantic reading JSON into types that JSON has no form for, in strict mode too.
# Expected: the value that was written, or a ValidationError.
# Seen: the text "2026" becomes a datetime of 1970 (it is taken as seconds), three keys of a
# `dict[int, ...]` become one, and a Decimal written as a number is rounded like a float.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv run --quiet --no-project --with pydantic==2.14.4 python - <<'PY'
from datetime import datetime
from decimal import Decimal
from importlib.metadata import version

from pydantic import TypeAdapter

print("pydantic", version("pydantic"))
moment = TypeAdapter(datetime).validate_json('"2026"', strict=True)
print('datetime from "2026":', moment)
keys = TypeAdapter(dict[int, str]).validate_json('{"1": "a", "01": "b", "1.0": "c"}', strict=True)
print("dict[int, str] from keys 1, 01, 1.0:", keys)
number = TypeAdapter(Decimal).validate_json("0.12345678901234567890123", strict=True)
print("Decimal from 0.12345678901234567890123:", number)
assert moment.year == 1970, "this has changed"
assert keys == {1: "c"}, "this has changed"
assert number != Decimal("0.12345678901234567890123"), "this has changed"
PY
