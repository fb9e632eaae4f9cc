"""What the package declares: its version, what it needs, and that both locks hold that."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import rlm

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("rlm", "rlm_ipython", "rlm_kernel")

DISTRIBUTIONS = {"markdown_it": "markdown-it-py", "zmq": "pyzmq", "opentelemetry": None}
"""Import name to the distribution that brings it, where the names differ."""

OPTIONAL = {
    "anthropic": "anthropic",
    "anywidget": "notebook",
    "docker": "docker",
    "modal": "modal",
    "opentelemetry": "otel",
    "requests": "docker",
    "urllib3": "docker",
}
"""Import name to the extra that brings it; everything else that is imported is a dependency."""


def imported() -> dict[str, set[str]]:
    """Return every foreign package that a module of ours imports, with those modules."""
    found: dict[str, set[str]] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(str(path.relative_to(ROOT)))
    ours = {*PACKAGES, *sys.stdlib_module_names}
    return {name: paths for name, paths in found.items() if name not in ours}


def names(requirements: list[str]) -> set[str]:
    """Return the normalised names of requirements, without extras and versions."""
    found = [re.match(r"[\w.-]+", requirement) for requirement in requirements]
    return {re.sub(r"[-_.]+", "-", name[0]).lower() for name in found if name}


def locked(name: str) -> dict[str, str]:
    """Return what a lock file pins: name to version."""
    pins = re.findall(
        r"^([\w.-]+)==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE
    )
    return dict(pins)


IMPORTED = imported()


@pytest.mark.parametrize("name", sorted(IMPORTED))
def test_every_imported_package_is_declared(name: str) -> None:
    declared = names(PROJECT["project"]["dependencies"])
    if name in OPTIONAL:
        declared = names(PROJECT["project"]["optional-dependencies"][OPTIONAL[name]])
    distribution = DISTRIBUTIONS.get(name, name) or f"{name}-sdk"
    assert re.sub(r"[-_.]+", "-", distribution).lower() in declared, IMPORTED[name]


def test_every_declared_package_is_imported() -> None:
    needed = {DISTRIBUTIONS.get(name) or name for name in IMPORTED}
    assert names(PROJECT["project"]["dependencies"]) <= names(sorted(needed))


def test_the_version_is_that_of_the_distribution() -> None:
    assert rlm.__version__ == importlib.metadata.version("rlm-kernel")
    assert "__version__" in rlm.__all__
    assert "__version__" in dir(rlm)


def test_the_demos_lock_is_part_of_the_developers() -> None:
    demo, dev = locked("demo.lock"), locked("dev.lock")
    assert demo.items() <= dev.items()
    assert names(PROJECT["project"]["dependencies"]) <= set(demo)


@pytest.mark.parametrize("name", ["demo.lock", "dev.lock"])
def test_a_lock_pins_by_hash_and_names_no_index(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    assert "--index-url" not in text
    pins = [line for line in text.splitlines() if not line.startswith("    --hash=sha256:")]
    assert all(re.fullmatch(r"[\w.-]+==\S+( ; .+)? \\", line) for line in pins)


def test_urls_are_the_one_placeholder() -> None:
    assert set(PROJECT["project"]["urls"].values()) == {"https://example.invalid/rlm-kernel"}


def test_the_sdist_holds_tests_and_docs_and_the_wheel_does_not(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    (wheel,) = tmp_path.glob("*.whl")
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        installed = set(archive.namelist())
    ours = {"rlm/py.typed", "rlm/render/static/viewer.js", "rlm_kernel/kernelspec/rlm/kernel.json"}
    assert ours <= inside & installed
    assert {"tests/conftest.py", "docs/cli.md", "Makefile", "requirements/dev.lock"} <= inside
    assert "widgets/src/index.js" in inside
    assert not any(name.startswith("widgets/node_modules/") for name in inside)
    assert not any(name.startswith(("tests/", "docs/", "findings/")) for name in installed)
