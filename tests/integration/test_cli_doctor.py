"""`rlm doctor` on this machine, and on machines that lack things."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rlm.cli import main
from rlm.cli.checks import docker, modal

if TYPE_CHECKING:
    from collections.abc import Iterator


def report(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", "--json"])
    return code, json.loads(capsys.readouterr().out)


def finding(report: dict[str, Any], about: str) -> dict[str, Any]:
    return next(one for one in report["findings"] if one["about"] == about)


def test_the_doctor_finds_that_everything_works_here(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = report(capsys)
    assert code == 0
    assert said["works"] is True
    assert "started, ran a cell" in finding(said, "kernel")["text"]
    assert "not a boundary against hostile code" in finding(said, "local")["text"]
    assert "docker" in finding(said, "local")["advice"]
    assert [one for one in said["findings"] if one["state"] == "problem"] == []


def test_it_reads_as_text_with_advice_below_each_gap(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].startswith("ok       Python")
    assert text.endswith("\nRuns work here.\n")
    assert max(map(len, text.splitlines())) <= 100


def test_it_says_which_keys_are_set_and_never_their_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-very-secret")
    monkeypatch.setenv("MODAL_TOKEN_ID", "ak-very-secret")
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-very-secret")
    assert main(["doctor", "--json"]) == 0
    text = capsys.readouterr().out
    assert "ANTHROPIC_API_KEY is set (anthropic)" in text
    assert "not set: OPENAI_API_KEY" in text
    assert "very-secret" not in text


def test_rlms_in_the_way_is_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "rlms-0.1.3.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: rlms\nVersion: 0.1.3\n")
    monkeypatch.syspath_prepend(tmp_path)
    code, said = report(capsys)
    assert code == 1
    assert said["works"] is False
    assert "rlms 0.1.3" in finding(said, "import name")["text"]
    assert "pip uninstall -y rlms" in finding(said, "import name")["advice"]


def test_a_machine_where_no_kernel_starts_is_told_so(tmp_path: Path) -> None:
    broken = tmp_path / "ipykernel"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('ipykernel is broken')")
    result = subprocess.run(
        [sys.executable, "-m", "rlm", "doctor", "--json"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    kernel = finding(json.loads(result.stdout), "kernel")
    assert kernel["state"] == "problem"
    assert "RLM_KERNEL_DEBUG=1" in kernel["advice"]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server on a unix socket that answers one request as a Docker engine would."""
    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            with listener.accept()[0] as client:
                client.recv(4096)
                client.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n" + b'{"Version":"20.10.24"}'
                )

        thread = threading.Thread(target=answer)
        thread.start()
        yield path
        thread.join()


def test_a_docker_engine_is_found_at_its_socket(engine: Path) -> None:
    (found,) = docker()
    assert found.state == "ok"
    assert found.text == f"engine 20.10.24 at unix://{engine}"


@pytest.mark.parametrize("address", ["unix:///nowhere.sock", "tcp://127.0.0.1:1", "ssh://host"])
def test_an_unreachable_docker_engine_is_a_note(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    (found,) = docker()
    assert found.state == "note"
    assert address in found.text


def test_a_machine_without_ssh_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "ssh://far.example")
    (found,) = docker()
    assert found.state == "note"
    assert "No such file or directory: 'ssh'" in found.text


def test_a_modal_configuration_file_counts_as_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "modal.toml"
    monkeypatch.setenv("MODAL_CONFIG_PATH", str(config))
    assert [found.state for found in modal()] == ["note"]
    config.write_text("[me]\nactive = true\n")
    assert [found.state for found in modal()] == ["note"]
    config.write_text("[me]\nactive = true\ntoken_id = 'ak-1'\ntoken_secret = 'as-very-secret'\n")
    assert [found.state for found in modal()] == ["ok"]


def test_it_says_which_limits_apply_to_containers(capsys: pytest.CaptureFixture[str]) -> None:
    said = finding(report(capsys)[1], "containers")["text"]
    for word in ("network none", "read-only root", "no mounts", "ALL", "user 65534", "4 GiB"):
        assert word in said
