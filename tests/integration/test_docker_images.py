"""Which image a kernel runs in, how it is made, and what is said when that cannot be."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import wheel_index

from rlm.cli import main
from rlm.core.environments import new_sandbox
from rlm.demo.server import script
from rlm_kernel.docker import images, probe
from rlm_kernel.docker.container_config import LABEL
from rlm_kernel.docker.engine import engine, engine_address
from rlm_kernel.docker.images import Images
from rlm_kernel.docker.options import docker_options
from rlm_kernel.docker.stream import EngineAddress
from rlm_kernel.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlm.demo.server import StandInServer

NAME = "rlm-test-made"

PYTHON = "usr/local/bin/python3"
"""The Python that is found first; a test may put a program of its own there."""


@pytest.fixture
def client(docker: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The engine's client; what is known of images is forgotten, what the test makes is removed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return engine(engine_address())


@pytest.fixture
def made(client: Any) -> Iterator[Callable[..., str]]:
    """`made({path: text})`: a new image of the base with some files more."""
    names: list[str] = []

    def make(files: dict[str, str], base: str = "python:3.11-slim") -> str:
        container = client.create_container(base, ["true"])["Id"]
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, text in files.items():
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(text), 0o755
                archive.addfile(entry, io.BytesIO(text.encode()))
        client.put_archive(container, "/", buffer.getvalue())
        names.append(f"{NAME}:{len(names)}-{os.getpid()}")
        client.commit(container, *names[-1].split(":"))
        client.remove_container(container)
        return names[-1]

    yield make
    for name in names:
        client.remove_image(name, force=True)


def resolve(client: Any, said: list[str] | None = None, **kwargs: Any) -> Any:
    images = Images(client, engine_address(), (said if said is not None else []).append)
    return images.resolve(docker_options(kwargs))


def test_an_image_is_made_once_with_progress_and_found_again(
    client: Any, made: Callable[..., str], require: Callable[[object, str], None]
) -> None:
    wheels = os.environ.get("RLM_TEST_WHEELS")
    require(wheels, "RLM_TEST_WHEELS, a folder with the wheels of a kernel (.ci/needs makes it)")
    base = made({"note": "one of a kind: the image that is made of it is made here"})
    said: list[str] = []
    with wheel_index.serving(Path(str(wheels))) as url:
        asked = {"image": base, "build_network": "host", "pip_index_url": f"{url}?token=sEcReT"}
        asked["pip_index_url"] = url.replace("http://", "http://user:sEcReT@")
        image = resolve(client, said, **asked)
    try:
        assert any(line.startswith("Collecting ipykernel") for line in said)
        assert said[-1].endswith(image.name)
        again: list[str] = []
        assert resolve(client, again, image=base) == image
        assert again == []
        about = json.dumps([client.inspect_image(image.name), client.history(image.name)])
        assert "sEcReT" not in about
        assert resolve(client, image=image.name).python == image.python
    finally:
        client.remove_image(image.name, force=True)


def test_an_image_that_has_a_fitting_ipykernel_is_used_as_it_is_and_asked_once(
    client: Any, made: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    derived = resolve(client)
    ready = made({}, derived.name)
    about = client.inspect_image(ready)
    monkeypatch.setattr(images, "PYTHON_LABEL", "another.label")
    link = 'exec /opt/rlm-kernel/bin/python "$@"\n'
    ready = made({PYTHON: f"#!/bin/sh\n{link}"}, derived.name)
    said: list[str] = []
    image = resolve(client, said, image=ready)
    assert image.python == "/opt/rlm-kernel/bin/python"
    assert image.name == client.inspect_image(ready)["Id"] != about["Id"]
    monkeypatch.setattr(probe, "_probe", lambda *_: pytest.fail("asked again"))
    assert resolve(client, said, image=ready) == image
    assert said == []


def test_without_a_network_it_says_what_to_do(client: Any, made: Callable[..., str]) -> None:
    with pytest.raises(SandboxError, match=r"reaches no package index .*build_network.*rlm kernel"):
        resolve(client, image=made({"note": "2"}), build_network="none")


def test_a_package_that_does_not_exist_is_reported_with_pips_error(
    client: Any, made: Callable[..., str], require: Callable[[object, str], None]
) -> None:
    wheels = os.environ.get("RLM_TEST_WHEELS")
    require(wheels, "RLM_TEST_WHEELS, a folder with the wheels of a kernel (.ci/needs makes it)")
    with wheel_index.serving(Path(str(wheels))) as url:
        asked = {"build_network": "host", "pip_index_url": url, "packages": ["no-such-thing"]}
        with pytest.raises(SandboxError, match="No matching distribution found for no-such-thing"):
            resolve(client, **asked)


def test_an_image_without_python_is_refused(client: Any) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("empty"), io.BytesIO())
    client.import_image_from_data(buffer.getvalue(), repository=NAME, tag="empty")
    try:
        with pytest.raises(SandboxError, match=r"has no Python.*Python >= 3.11"):
            resolve(client, image=f"{NAME}:empty")
    finally:
        client.remove_image(f"{NAME}:empty")


def test_a_python_that_is_too_old_is_refused(client: Any, made: Callable[..., str]) -> None:
    answer = '{"python": "/usr/bin/python3", "version": [3, 8], "ipykernel": null}'
    old = made({PYTHON: f"#!/bin/sh\necho '{answer}'\n"})
    with pytest.raises(SandboxError, match=r"has Python 3.8, which is too old.*>= 3.11"):
        resolve(client, image=old)


def test_a_python_without_venv_and_pip_is_said_to_lack_them(
    client: Any, made: Callable[..., str]
) -> None:
    missing = "raise ImportError('taken out')\n"
    files = {}
    for folder in ("usr/lib/python3.11", "usr/local/lib/python3.11"):
        files[f"{folder}/ensurepip/__init__.py"] = missing
        files[f"{folder}/site-packages/pip/__main__.py"] = missing
    with pytest.raises(SandboxError, match=r"no pip to do without .*apt-get install python3-venv"):
        resolve(client, image=made(files))


FULL = "Could not install packages due to an OSError: [Errno 28] No space left on device"
BUILDS = {
    "out of disk": (f"echo 'ERROR: {FULL}'; exit 5", r"engine is out of disk space.*Errno 28"),
    "an older Python": ("exit 3", "its Python is too old; kernels need >= 3.11"),
}


@pytest.mark.parametrize(("program", "why"), BUILDS.values(), ids=BUILDS.keys())
def test_a_build_that_fails_says_why(
    client: Any, made: Callable[..., str], program: str, why: str
) -> None:
    """An image whose Python answers what it is asked about itself, and does this when it builds."""
    answer = f'{{"python": "/{PYTHON}", "version": [3, 11], "ipykernel": null}}'
    fails = f"#!/bin/sh\nif [ \"$1\" = -c ]; then echo '{answer}'; exit; fi\n{program}\n"
    with pytest.raises(SandboxError, match=f"(?s){why}"):
        resolve(client, image=made({PYTHON: fails}))
    test_nothing_is_left_of_probes_and_failed_builds(client)


def test_a_python_with_nonsense_output_is_refused(client: Any, made: Callable[..., str]) -> None:
    with pytest.raises(SandboxError, match=r"cannot be used: it said 'hello"):
        resolve(client, image=made({PYTHON: "#!/bin/sh\necho hello\n"}))


def test_an_image_that_cannot_be_found_is_named(client: Any) -> None:
    with pytest.raises(SandboxError, match=r"'localhost/no-such:1' is not on the Docker engine"):
        resolve(client, image="localhost/no-such:1")


def test_nothing_is_left_of_probes_and_failed_builds(client: Any) -> None:
    left = client.containers(all=True, filters={"label": f"{LABEL}.pid={os.getpid()}"})
    kinds = [entry["Labels"][LABEL] for entry in left]
    assert [kind for kind in kinds if kind != "sandbox"] == []


TROUBLES = {
    "no engine": ("unix:///nowhere/docker.sock", r"No Docker engine answers.*DOCKER_HOST"),
    "nobody listens": ("tcp://127.0.0.1:1", r"No Docker engine answers.*DOCKER_HOST"),
}


@pytest.mark.parametrize(("url", "what"), TROUBLES.values(), ids=TROUBLES.keys())
async def test_an_engine_that_is_not_running_is_reported(
    docker: dict[str, Any], monkeypatch: pytest.MonkeyPatch, url: str, what: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", url)
    sandbox = new_sandbox("docker", docker)
    with pytest.raises(SandboxError, match=what):
        await sandbox.start()
    await sandbox.close()


async def test_an_engines_refusal_is_quoted(docker: dict[str, Any]) -> None:
    sandbox = new_sandbox("docker", {**docker, "network": "no-such-network"})
    with pytest.raises(SandboxError, match=r"The Docker engine refused: .*no-such-network"):
        await sandbox.start()
    await sandbox.close()


def test_a_feature_that_the_engine_lacks_is_explained(docker: dict[str, Any]) -> None:
    from docker.errors import APIError

    from rlm_kernel.docker.engine import explained

    address = EngineAddress(url="unix:///var/run/docker.sock")
    denied = explained(PermissionError(13, "Permission denied"), address)
    assert "group `docker`" in str(denied)
    for words in ("x: no space left on device", "write /x: disk quota exceeded"):
        full = explained(APIError(words), address)
        assert "out of disk space" in str(full)
        assert "rlm kernel prune" in str(full)


def test_the_command_makes_images_uses_them_and_removes_what_is_left(
    docker: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    server: Callable[..., StandInServer],
) -> None:
    assert main(["kernel", "build", "--package", "pandas"]) == 0
    image = capsys.readouterr().out.strip()
    assert image.startswith("rlm-kernel:")
    code = "import pandas, sys; answer['content'] = sys.prefix; answer['ready'] = True"
    model = server(script([f"```repl\n{code}\n```"] * 2))
    run = ["run", "which?", "--backend", "vllm", "--base-url", model.base_url, "--model", "m"]
    for which in (["--package", "pandas"], ["--image", image]):
        assert main([*run, "--environment", "docker", *which, "--quiet"]) == 0
        assert capsys.readouterr() == ("/opt/rlm-kernel\n", "")
    assert main(["kernel", "prune", "--images", "--dry-run"]) == 0
    assert "would remove rlm-kernel:" in capsys.readouterr().out
    assert main(["kernel", "prune"]) == 0
    assert capsys.readouterr().out
