#!/usr/bin/env bash
# A cell magic marked `@output_can_be_silenced` (IPython), with a body that is plain text.
# Expected: the magic's value comes back; the body is the magic's affair.
# Seen: after the magic has run, IPython tokenises the cell as Python to look for a closing `;`. An open
# bracket in the body raises TokenError, and the value that the magic returned is lost.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv run --quiet --no-project --with ipython==9.18.1 python - <<'PY'
import contextlib
import io
from importlib.metadata import version

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import output_can_be_silenced

print("IPython", version("ipython"))
shell = InteractiveShell.instance()
ran = []


def plain(line, cell):
    ran.append("plain")
    return cell.strip()


@output_can_be_silenced
def marked(line, cell):
    ran.append("marked")
    return cell.strip()


for magic in (plain, marked):
    shell.register_magic_function(magic, "cell")
seen = {}
for name in ("plain", "marked"):
    with contextlib.redirect_stdout(io.StringIO()):
        done = shell.run_cell(f"%%{name}\nWhat does f( mean?\n")
    error = done.error_in_exec or done.error_before_exec
    seen[name] = type(error).__name__ if error else done.result
    print(f"%%{name} ran: {name in ran}; outcome: {seen[name]}")
assert ran == ["plain", "marked"]
assert seen["plain"] == "What does f( mean?"
assert seen["marked"] == "TokenError", "this has changed"
PY
