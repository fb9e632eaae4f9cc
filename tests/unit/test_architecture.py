"""What the folder listing promises: who imports whom, what starts lazily, how big a module gets."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_kernel.relay.bootstrap import MODULES

ROOT = Path(__file__).parents[2]
PACKAGES = ("rlm_ipython", "rlm", "rlm_kernel")
"""Imports run in this order only."""

DOORS_UPWARDS: dict[str, set[str]] = {
    "rlm/__init__.py": {"rlm_ipython"},
    "rlm/render/view.py": {"rlm_ipython"},
}
"""Modules that load a package above them, by name and at run time."""

INSIDE_THE_SANDBOX = tuple(path for path in MODULES if path != "rlm_kernel/__main__.py")
WHAT_A_SANDBOX_HAS = {"IPython", "ipykernel", "jupyter_client", "tornado", "traitlets", "zmq"}
"""ipykernel and pyzmq, with what they depend on."""

LAZY = ("openai", "anthropic", "litellm", "docker", "modal", "rich", "nbformat", "jupyter_client")


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_run_downwards(path: Path) -> None:
    own = PACKAGES.index(path.relative_to(ROOT).parts[0])
    above = imported(path) & set(PACKAGES[:own])
    assert above <= DOORS_UPWARDS.get(str(path.relative_to(ROOT)), set())


@pytest.mark.parametrize("path", INSIDE_THE_SANDBOX)
def test_what_runs_in_a_sandbox_needs_ipykernel_only(path: str) -> None:
    foreign = imported(ROOT / path) - set(sys.stdlib_module_names)
    assert foreign - {"rlm_kernel", "__future__"} <= WHAT_A_SANDBOX_HAS


@pytest.mark.parametrize("path", INSIDE_THE_SANDBOX)
def test_what_runs_in_a_sandbox_uses_only_what_does(path: str) -> None:
    used = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rlm_kernel"):
            for name in (str(node.module), *(f"{node.module}.{name.name}" for name in node.names)):
                module = ROOT / name.replace(".", "/")
                used.update(file for file in (module.with_suffix(".py"), module) if file.exists())
    inside = {ROOT / shipped for shipped in INSIDE_THE_SANDBOX}
    assert used <= inside | {file.parent for file in inside}


def test_importing_the_api_loads_no_sdk() -> None:
    code = (
        "import sys; from rlm import RLM; from rlm.logger import RLMLogger\n"
        f"print([name for name in {LAZY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_one_idea(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 410
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}


def test_a_folder_says_what_lives_there() -> None:
    for init in (path for path in modules() if path.name == "__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text())), init
