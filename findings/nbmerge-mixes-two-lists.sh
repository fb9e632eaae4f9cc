#!/usr/bin/env bash
# nbmerge of two notebooks whose metadata hold a list of records that both sides replaced.
# Expected: one side's list, or a conflict.
# Seen: items of both lists in one, a record that neither side wrote, and exit code 0. A reader
# has to hold a count or a hash over the whole list to notice.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv run --quiet --no-project --with nbdime==4.0.4 python - <<'PY'
import json
import subprocess
from importlib.metadata import version

print("nbdime", version("nbdime"))


def notebook(name, events):
    content = {"cells": [], "metadata": {"x": {"events": events}}, "nbformat": 4, "nbformat_minor": 5}
    with open(name, "w") as file:
        json.dump(content, file)


base = [f"event {n}" for n in range(4)]
ours = base[:1] + ["ours 1"] + base[2:]
theirs = base[:3] + ["theirs 3"]
notebook("base.ipynb", base)
notebook("ours.ipynb", ours)
notebook("theirs.ipynb", theirs)
done = subprocess.run(
    ["nbmerge", "base.ipynb", "ours.ipynb", "theirs.ipynb", "--out", "merged.ipynb"],
    capture_output=True, text=True,
)
with open("merged.ipynb") as file:
    metadata = json.load(file)["metadata"]
print("exit code", done.returncode, "metadata", metadata)
assert done.returncode == 0, "this has changed"
assert metadata == {"x": {"events": ["event 0", "ours 1", "event 2", "theirs 3"]}}, "this has changed"
PY
