"""The README's examples run as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rlm.cli import main
from rlm.context import INLINE_LIMIT
from rlm.demo.server import script

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.demo.server import LMRequest, StandInServer

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

LOG = README.partition("## The log is a notebook")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"^    (rlm .*)", LOG, re.MULTILINE)

BOOK = "Call me Ishmael. " * (INLINE_LIMIT // 10)
"""As a book is: too long for a log to hold it."""


def environment_of(example: str) -> str:
    """Return the environment that an example asks for."""
    named = re.search(r'environment="(docker|modal)"', example)
    return named[1] if named else "local"


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


@pytest.fixture
def reader(
    server: Callable[..., StandInServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who tries the examples: a folder with a book and notes, a key, a model that answers."""
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text(BOOK)
    Path("notes").mkdir()
    Path("notes/may.txt").write_text("Decided: nothing.")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", server(script(root=reply)).base_url)


def reply(request: LMRequest) -> str:
    if request.turn == 1:
        return "```repl\nprint(type(context), len(context))\n```"
    return "```repl\nFINAL(f'Ishmael, of {len(context)}')\n```"


def run(example: str) -> None:
    names: dict[str, object] = {}
    try:
        exec(compile(example, "README.md", "exec"), names)
    finally:
        names["rlm"].close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("environment", "example"), [(environment_of(e), e) for e in EXAMPLES])
@pytest.mark.filterwarnings("ignore:unclosed file.*book.txt:ResourceWarning")
@pytest.mark.usefixtures("reader")
def test_an_example_runs_as_it_stands(
    environment: str,
    example: str,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if environment != "local":
        request.getfixturevalue(environment)
    run(example)
    assert "Ishmael, of" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:unclosed file.*book.txt:ResourceWarning")
@pytest.mark.usefixtures("reader")
def test_the_commands_on_a_log_run_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    run(next(example for example in EXAMPLES if example in LOG))
    assert {command.split()[1] for command in COMMANDS} == {"show", "replay", "diff", "convert"}
    for command in COMMANDS:
        differs = command.startswith("rlm diff")  # which its exit code says
        assert main(shlex.split(command)[1:]) == int(differs), capsys.readouterr().err
    assert "Ishmael, of" in capsys.readouterr().out
    assert Path("narrator.html").exists()
