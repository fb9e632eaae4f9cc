"""docs/magics.md says what the magics say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlm_ipython.reference import manuals, updated


def test_the_docs_show_the_manuals_as_they_are(monkeypatch: Any) -> None:
    monkeypatch.delenv("RLM_MODEL", raising=False)
    page = (Path(__file__).parents[2] / "docs" / "magics.md").read_text()
    assert updated(page) == page, "run `make docs`"
    for manual in manuals().values():
        assert manual in page


def test_a_manual_fits_its_page() -> None:
    for manual in manuals().values():
        assert max(map(len, manual.splitlines())) <= 100
