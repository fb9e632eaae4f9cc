#!/usr/bin/env bash
# docker SDK: `Container.wait()` on a container that was created and never started. Needs an engine.
# Expected: it waits until the container has run and ended.
# Seen: it returns at once with status code 0, like a container that ran and succeeded.
# Way out: `wait(condition="next-exit")`, asked before the start.
set -euo pipefail
docker info >/dev/null || { echo "needs a Docker engine" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv run --quiet --no-project --with docker==7.2.0 --with requests==2.34.2 python - <<'PY'
import io
import tarfile
import time
from importlib.metadata import version

import docker

client = docker.from_env()
print("docker SDK", version("docker"), "engine", client.version()["Version"])
layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode="w") as tar:
    tar.addfile(tarfile.TarInfo("empty"))
tag = "finding-empty:1"
client.api.import_image_from_data(layer.getvalue(), repository="finding-empty", tag="1")
container = client.containers.create(tag, ["/never-run"])
try:
    began = time.monotonic()
    result = container.wait(timeout=20)
    container.reload()
    print("state:", container.status, "wait() said:", result, f"after {time.monotonic() - began:.1f} s")
    assert container.status == "created", "this has changed"
    assert result["StatusCode"] == 0, "this has changed"
finally:
    container.remove()
    client.images.remove(tag)
PY
