"""The committed bundle is what esbuild makes of `widgets/src`, where there is Node to tell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_esbuild_makes_the_committed_bundle(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm; that the sources are the bundle's is checked without it too")
    ignored = shutil.ignore_patterns("node_modules")
    shutil.copytree(ROOT / "widgets", tmp_path / "widgets", ignore=ignored)
    shutil.copytree(ROOT / "rlm_ipython" / "static", tmp_path / "rlm_ipython" / "static")
    command = [npm, "--prefix", str(tmp_path / "widgets")]
    got = subprocess.run(
        [*command, "ci", "--no-audit", "--no-fund"], capture_output=True, text=True, check=False
    )
    if got.returncode:
        pytest.skip(f"needs a package registry: {got.stderr[-200:]}")
    done = subprocess.run([*command, "run", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
