#!/usr/bin/env bash
# Which marks of a notebook are left by nbstripout, nb-clean and jupytext's text form.
# Expected: at least a cell's id, which nbformat 4.5 made for that, stays everywhere.
# Seen: no single mark does. nbstripout renumbers the ids, nb-clean drops cells' metadata (with
# --remove-empty-cells or not), jupytext's py:percent drops ids and the notebook's metadata.
# Only the cells' sources and their order stay.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv run --quiet --no-project --with nbstripout==0.9.1 --with nb-clean==5.0.0 --with jupytext==1.19.6 python - <<'PY'
import json
import shutil
import subprocess
from importlib.metadata import version

tools = ("nbstripout", "nb-clean", "jupytext")
print(*(f"{tool} {version(tool)}" for tool in tools))
notebook = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"mark": {"of": "notebook"}},
    "cells": [
        {
            "cell_type": "code", "id": "my-own-id", "metadata": {"mark": "of cell"},
            "execution_count": 1, "outputs": [], "source": "x = 1",
        }
    ],
}
commands = {
    "nbstripout": [["nbstripout", "n.ipynb"]],
    "nb-clean": [["nb-clean", "clean", "n.ipynb"]],
    "jupytext": [
        ["jupytext", "--to", "py:percent", "n.ipynb"],
        ["jupytext", "--to", "ipynb", "--output", "n.ipynb", "n.py"],
    ],
}
kept = {}
for tool, steps in commands.items():
    with open("n.ipynb", "w") as file:
        json.dump(notebook, file)
    for step in steps:
        subprocess.run(step, check=True, capture_output=True)
    with open("n.ipynb") as file:
        after = json.load(file)
    cell = after["cells"][0]
    kept[tool] = {
        "id": cell.get("id") == "my-own-id",
        "cell metadata": "mark" in cell["metadata"],
        "notebook metadata": "mark" in after["metadata"],
        "source": "".join(cell["source"]) == "x = 1",
    }
    print(f"{tool} keeps", *(name for name, here in kept[tool].items() if here), sep=", ")
for mark in ("id", "cell metadata", "notebook metadata"):
    print(f"{mark}: kept by", sum(tool[mark] for tool in kept.values()), "of 3")
assert all(tool["source"] for tool in kept.values())
assert not kept["nbstripout"]["id"], "this has changed"
assert not kept["nb-clean"]["cell metadata"], "this has changed"
assert not kept["jupytext"]["id"] and not kept["jupytext"]["notebook metadata"], "this has changed"
PY
