"""The suite's own safety nets: what a test leaks fails it, and a missing need is never silent."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parent.parent / "conftest.py"

LEAKS = {
    "process": """
        import subprocess, sys
        def test_it():
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    """,
    "thread": """
        import threading
        def test_it():
            threading.Thread(target=threading.Event().wait, args=(60,), daemon=True).start()
    """,
    "directory": """
        import tempfile
        def test_it():
            tempfile.mkdtemp(prefix="rlm-")
    """,
    "socket": """
        import socket
        kept = []
        def test_it():
            kept.append(socket.create_server(("127.0.0.1", 0)))
    """,
}


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A test suite of one file, with our conftest and hardly any patience."""
    pytester.makeconftest(CONFTEST.read_text().replace("GRACE = 5.0", "GRACE = 0.2"))
    pytester.makeini("[pytest]\nmarkers = live: costs money")
    monkeypatch.delenv("RLM_TEST_REQUIRE", raising=False)
    return pytester


@pytest.mark.parametrize("what", LEAKS)
def test_a_test_that_leaks_fails_and_the_next_one_does_not(
    suite: pytest.Pytester, what: str
) -> None:
    suite.makepyfile(test_one=LEAKS[what], test_two="def test_clean(): pass")
    result = suite.runpytest_subprocess()
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines([f"*test_it left behind: {what} *"])


def test_a_missing_need_skips_here_and_fails_in_ci(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.makepyfile("""
        import pytest
        def test_it(require): require(False, 'a Docker engine')
        def test_other(): pytest.importorskip('no_such_module')
    """)
    result = suite.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*needs a Docker engine*"])
    monkeypatch.setenv("RLM_TEST_REQUIRE", "all")
    result = suite.runpytest_subprocess()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*allows no skip: Skipped: could not import 'no_such_module'*"])


def test_live_tests_run_when_asked_for_only(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    suite.makepyfile("""
        import os, pytest
        @pytest.mark.live
        def test_live(): assert os.environ["OPENAI_API_KEY"] == "k"
        def test_other(): assert "OPENAI_API_KEY" not in os.environ
    """)
    suite.runpytest_subprocess().assert_outcomes(passed=1, deselected=1)
    suite.runpytest_subprocess("-m", "live").assert_outcomes(passed=1, deselected=1)
