"""The examples of the README and of the guides run as they stand there."""

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

ROOT = Path(__file__).parents[2]

PAGES = ("README.md", "docs/index.md", "docs/using.md", "docs/environments.md")
"""Pages whose examples are whole programs; the other guides show parts of one."""


def examples(page: str) -> list[str]:
    """Return the Python examples of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


EXAMPLES = [(page, example) for page in PAGES for example in examples(page)]
README = (ROOT / "README.md").read_text(encoding="utf-8")
THE_LOG = next(example for example in examples("README.md") if "from_notebook" in example)
COMMANDS = re.findall(r"^    (rlm .*)", README, re.MULTILINE)

BOOK = "Call me Ishmael. " * (INLINE_LIMIT // 10)
"""As a book is: too long for a log to hold it."""


def environment_of(example: str) -> str:
    """Return the environment that an example asks for."""
    named = re.search(r'environment="(docker|modal)"', example)
    return named[1] if named else "local"


def test_every_page_has_its_examples() -> None:
    assert {page for page, _ in EXAMPLES} == set(PAGES)
    assert {environment_of(example) for _, example in EXAMPLES} == {"local", "docker", "modal"}


@pytest.fixture
def reader(
    server: Callable[..., StandInServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody has who tries the examples: a book, notes, a key, a model that answers."""
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


def run(example: str, page: str) -> None:
    names: dict[str, object] = {}
    try:
        exec(compile(example, page, "exec"), names)
    finally:
        names["rlm"].close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("page", "example"), EXAMPLES)
@pytest.mark.filterwarnings("ignore:unclosed file.*book.txt:ResourceWarning")
@pytest.mark.usefixtures("reader")
def test_an_example_runs_as_it_stands(
    page: str,
    example: str,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    environment = environment_of(example)
    if environment != "local":
        request.getfixturevalue(environment)
    run(example, page)
    assert "Ishmael, of" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:unclosed file.*book.txt:ResourceWarning")
@pytest.mark.usefixtures("reader")
def test_the_commands_on_a_log_run_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    run(THE_LOG, "README.md")
    assert {command.split()[1] for command in COMMANDS} == {"show", "replay", "diff", "convert"}
    for command in COMMANDS:
        differs = command.startswith("rlm diff")  # which its exit code says
        assert main(shlex.split(command)[1:]) == int(differs), capsys.readouterr().err
    assert "Ishmael, of" in capsys.readouterr().out
    assert Path("narrator.html").exists()
