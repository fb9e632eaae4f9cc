"""Which tests run on accounts that cost money: none unless asked for, then all that Modal has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def collected(*options: str) -> set[str]:
    """Return the names of the tests that a session with these options would run."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", *options]
    files = [TESTS / "integration" / "test_sandbox_security.py", TESTS / "live"]
    # It has one for Modal, and no kernel
    files.append(TESTS / "unit" / "test_environments_page.py")
    # What somebody adds to this session, such as -v, would change what that one prints
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        [*command, *files], cwd=TESTS.parent, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {line.rpartition("::")[2] for line in done.stdout.splitlines() if "::" in line}


def test_live_tests_are_run_when_asked_for_alone_and_are_those_of_the_stand_in_too() -> None:
    usual, live = collected(), collected("-m", "live")
    smoke = {name for name in live if name.startswith("test_a_sandbox_on_modal")}
    providers = {name for name in live if name.startswith("test_a_number_is_found")}
    assert smoke
    assert providers
    assert live - smoke - providers == {
        name
        for name in usual
        if "modal" in name.partition("[")[2] and not name.startswith("test_the_page")
    }
    assert {name for name in usual if "[docker" in name}
    assert not usual & (smoke | providers)
