"""The viewer's front end by its own tools: its tests, and that its bundle is what esbuild makes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
BUNDLE = "rlm/render/static"


def run(*command: str | None, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*filter(None, command)], cwd=folder, capture_output=True, text=True, check=False
    )


def test_esbuild_makes_the_committed_bundle(
    tmp_path: Path, require: Callable[[object, str], None]
) -> None:
    npm = shutil.which("npm")
    require(npm, "npm; that the bundle is that of the sources is checked without it too")
    ignored = shutil.ignore_patterns("node_modules")
    shutil.copytree(ROOT / "widgets", tmp_path / "widgets", ignore=ignored)
    shutil.copytree(ROOT / BUNDLE, tmp_path / BUNDLE)
    install = (npm, "ci", "--prefer-offline", "--no-audit", "--no-fund")
    got = run(*install, folder=tmp_path / "widgets")
    require(got.returncode == 0, f"a registry of npm packages: {got.stderr[-200:]}")
    done = run(npm, "run", "check", folder=tmp_path / "widgets")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_front_ends_own_tests_pass(require: Callable[[object, str], None]) -> None:
    node = shutil.which("node")
    require(node, "Node")
    done = run(node, "--test", folder=ROOT / "widgets")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search("pass [1-9]", done.stdout)
