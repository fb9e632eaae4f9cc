#!/usr/bin/env bash
# respx (mocks httpx) around a request of the openai SDK, to a server on this machine.
# Expected: respx intercepts the request, as with openai 1 and 2.
# Seen: openai 3 stands on the package httpx2, which respx does not patch; the request goes out to
# the real server. Likewise `except httpx.HTTPError` catches nothing that the SDK raises.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv run --quiet --no-project --with openai==3.57.0 --with respx==0.23.1 --with httpx==0.28.1 python - <<'PY'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

import httpx
import openai
import respx

print(*(f"{name} {version(name)}" for name in ("openai", "respx", "httpx", "httpx2")))
REPLY = {
    "id": "1", "object": "chat.completion", "created": 0, "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "real"}}
    ],
}


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(REPLY).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/v1"
mocked = json.loads(json.dumps(REPLY).replace("real", "mocked"))
with respx.mock(assert_all_called=False) as mock:
    route = mock.post(f"{url}/chat/completions").mock(httpx.Response(200, json=mocked))
    client = openai.OpenAI(api_key="none", base_url=url, max_retries=0)
    reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}])
said = reply.choices[0].message.content
print("the reply is", said, "and respx saw", route.call_count, "requests")
print("APIConnectionError is an httpx.HTTPError:", issubclass(openai.APIConnectionError, httpx.HTTPError))
assert (said, route.call_count) == ("real", 0), "this has changed"
PY
