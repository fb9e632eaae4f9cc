"""The sandbox's half of our code, sent as the stream's first bytes: it is never in an image.

So both ends always have the same version. The modules travel as a zip, compiled by this Python: an
interpreter of the same version uses them directly (60 ms less), any other compiles the sources.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import marshal
import zipfile
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

_FILES = ("__init__", "__main__", "env_names", "errors", "forkserver", "recorded_calls")
_FOLDERS = ("context", "guest", "inside", "protocol")

MODULES = tuple(
    path.relative_to(_PACKAGE.parent).as_posix()
    for path in (
        *(_PACKAGE / f"{name}.py" for name in _FILES),
        *(path for folder in _FOLDERS for path in sorted((_PACKAGE / folder).glob("*.py"))),
    )
)
"""The modules that run in a sandbox: they import the standard library, ipykernel and pyzmq only."""

BOOTSTRAP = """\
import os, sys
def take(size):
    data = b""
    while len(data) < size:
        more = os.read(0, size - len(data))
        if not more: sys.exit("the host is gone")
        data += more
    return data
if sys.version_info < (3, 11): sys.exit("Python >= 3.11 is needed, not " + sys.version)
bundle = take(int.from_bytes(take(4), "big"))
file = os.memfd_create("rlm_kernel", 3)
while bundle: bundle = bundle[os.write(file, bundle):]
import fcntl
fcntl.fcntl(file, 1033, 15)
sys.path.insert(0, "/proc/self/fd/%d" % file)
from rlm_kernel.forkserver import main
main()
"""
"""The program of a sandbox: `python -c BOOTSTRAP ROOT --relay`.

The zip lies in a sealed file in memory (1033, 15: `F_ADD_SEALS` with all seals): no cell can change
what the fork server may still import from it.
"""

_UNCHECKED_HASH_PYC = (1).to_bytes(4, "little") + bytes(8)


@functools.cache
def bundle() -> bytes:
    """Return the stream's first bytes: the zip's length (four bytes) and the zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in MODULES:
            source = (_PACKAGE.parent / path).read_bytes()
            code = compile(source, path, "exec", dont_inherit=True)
            archive.writestr(path, source)
            archive.writestr(
                f"{path}c",
                importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH_PYC + marshal.dumps(code),
            )
    data = buffer.getvalue()
    return len(data).to_bytes(4, "big") + data
