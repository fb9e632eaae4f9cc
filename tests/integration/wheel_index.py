"""A package index on this machine, over a folder of wheels: images are made without a network.

As a program: `wheel_index.py FOLDER COMMAND...` serves while the command runs, with `{url}` in its
words replaced by the index's address.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder's wheels (PEP 503); yields the index's address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, _, name = unquote(self.path).strip("/").partition("/")
            if kind == "simple":
                files = [f.name for f in folder.glob("*.whl") if _project(f.name) == name]
                links = "\n".join(f'<a href="/files/{file}">{file}</a>' for file in files)
                self._answer("text/html", links.encode() if files else None)
            else:
                file = folder / Path(name).name
                data = file.read_bytes() if file.is_file() else None
                self._answer("application/octet-stream", data)

        def _answer(self, kind: str, body: bytes | None) -> None:
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="wheel index")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _project(file: str) -> str:
    return re.sub(r"[-_.]+", "-", file.split("-", maxsplit=1)[0]).lower()


if __name__ == "__main__":
    with serving(Path(sys.argv[1])) as address:
        words = [word.replace("{url}", address) for word in sys.argv[2:]]
        sys.exit(subprocess.run(words, check=False).returncode)
