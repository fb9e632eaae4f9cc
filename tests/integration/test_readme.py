"""The README's examples run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rlm.demo.server import script

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.demo.server import StandInServer

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

REPLY = """```repl
answer["content"] = "Ishmael, of " + str(len(context))
answer["ready"] = True
```"""


def environment_of(example: str) -> str:
    """Return the environment that an example asks for."""
    named = re.search(r'environment="(docker|modal)"', example)
    return named[1] if named else "local"


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize(("environment", "example"), [(environment_of(e), e) for e in EXAMPLES])
@pytest.mark.filterwarnings("ignore:unclosed file.*book.txt:ResourceWarning")
def test_an_example_runs_as_it_stands(
    server: Callable[..., StandInServer],
    environment: str,
    example: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if environment != "local":
        request.getfixturevalue(environment)
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("Call me Ishmael.")
    Path("notes").mkdir()
    Path("notes/may.txt").write_text("Decided: nothing.")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", server(script(root=lambda _: REPLY)).base_url)
    names: dict[str, object] = {}
    try:
        exec(compile(example, "README.md", "exec"), names)
        assert "Ishmael, of" in capsys.readouterr().out
    finally:
        names["rlm"].close()  # type: ignore[attr-defined]
