"""The built wheel, installed where no checkout is: what a user gets from an index.

`RLM_TEST_WHEEL_PYTHON` names an interpreter that has it; `.ci/run` makes one.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]

LOOK = """
import json, pathlib, rlm, rlm.render, rlm_kernel, sys
from importlib.metadata import entry_points
from jupyter_client.kernelspec import KernelSpecManager
print(json.dumps({
    "where": rlm.__file__,
    "version": rlm.__version__,
    "typed": [pathlib.Path(p.__file__).with_name("py.typed").exists() for p in (rlm, rlm_kernel)],
    "bundle": sorted(path.name for path in rlm.render.STATIC.iterdir()),
    "kernels": sorted(KernelSpecManager().find_kernel_specs()),
    "provisioners": sorted(entry_points(group="jupyter_client.kernel_provisioners").names),
}))
"""


@pytest.fixture
def python(require: Callable[[object, str], None]) -> str:
    given = os.environ.get("RLM_TEST_WHEEL_PYTHON")
    require(given, "RLM_TEST_WHEEL_PYTHON, an interpreter with the built wheel")
    return given or ""


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_the_wheel_holds_all_that_a_user_needs(python: str, tmp_path: Path) -> None:
    found = json.loads(run(python, "-c", LOOK, folder=tmp_path).stdout)
    assert ROOT not in Path(found["where"]).parents
    assert all(found["typed"])
    assert found["bundle"] == ["viewer.css", "viewer.js"]
    assert {"rlm", "rlm-docker", "rlm-modal"} <= set(found["kernels"])
    assert {"rlm-local", "rlm-docker", "rlm-modal"} <= set(found["provisioners"])


def test_the_demo_runs_from_the_wheel_and_runs_again_from_its_log(
    python: str, tmp_path: Path
) -> None:
    done = run(python, "-m", "rlm", "demo", "--quiet", "--save", "demo.ipynb", folder=tmp_path)
    assert "a plain line-by-line count of the same files agrees" in done.stderr
    again = run(python, "-m", "rlm", "replay", "demo.ipynb", "--quiet", folder=tmp_path)
    assert again.stdout == done.stdout
