#!/usr/bin/env bash
# `ruff format` of a notebook whose metadata hold numbers, with a cell that needs formatting.
# Expected: the cell's source changes and nothing else.
# Seen: the whole file is written anew from what was parsed: floats change their digits, and an
# integer above 2**64 becomes a float. JSON kept inside a string stays as it is.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv run --quiet --no-project --with ruff==0.17.6 python - <<'PY'
import json
import subprocess
from importlib.metadata import version

print("ruff", version("ruff"))
record = {"cost": "@1.10", "big": "@123456789012345678901234567890", "small": "@1e-7"}
text = json.dumps({**record, "inside": '{"cost": 1.10}'})
for name in record.values():
    text = text.replace(f'"{name}"', name[1:])
cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": "x=1"}
content = {"cells": [cell], "metadata": {"x": "RECORD"}, "nbformat": 4, "nbformat_minor": 5}
with open("n.ipynb", "w") as file:
    file.write(json.dumps(content).replace('"RECORD"', text))
subprocess.run(["ruff", "format", "--quiet", "n.ipynb"], check=True)
with open("n.ipynb") as file:
    raw = file.read()
after = json.loads(raw)
print("source:", after["cells"][0]["source"])
print("before:", text)
print("after: ", json.dumps(after["metadata"]["x"]))
assert "".join(after["cells"][0]["source"]) == "x = 1"
assert after["metadata"]["x"]["inside"] == '{"cost": 1.10}'
assert "123456789012345678901234567890" not in raw, "this has changed"
PY
