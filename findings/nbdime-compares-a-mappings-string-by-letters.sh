#!/usr/bin/env bash
# nbdime's diff of a long text, once as a value of a mapping and once as the item of a list.
# Expected: about the same time.
# Seen: a list's item is compared whole; a mapping's value is split and compared in detail, and its
# time grows with the square of its lines. A notebook's metadata had better hold lists of strings.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv run --quiet --no-project --with nbdime==4.0.4 python - <<'PY'
import time
from importlib.metadata import version
from nbdime.diffing.generic import diff

print("nbdime", version("nbdime"))


def text(lines, changed):
    return "".join(f"line {n} of a log, {n * changed} so far\n" for n in range(lines))


def seconds(wrap, lines):
    start = time.process_time()
    assert diff(wrap(text(lines, 7)), wrap(text(lines, 9)))
    return time.process_time() - start


value = [seconds(lambda t: {"log": t}, lines) for lines in (10, 20, 40)]
item = [seconds(lambda t: [t], lines) for lines in (10, 20, 40)]
print("10, 20, 40 lines, as a mapping's value:", *(f"{s:.3f} s" for s in value))
print("10, 20, 40 lines, as a list's item:    ", *(f"{s:.3f} s" for s in item))
assert value[2] > 2.2 * value[1] and value[2] > 10 * item[2], "this has changed"
PY
