"""docs/architecture.md names files that exist; the errors' picture shows those there are."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

PATHS = sorted(set(re.findall(r"`((?:rlm|rlm_kernel|rlm_ipython|tests|docs)/[\w./*-]*)`", PAGE)))

QUESTIONS = (
    "Where is a reply parsed?",
    "Where does a 429 wait?",
    "What may a container send?",
    "Where does a context become bytes?",
    "Who closes a kernel?",
)


def test_every_path_on_the_architecture_page_exists() -> None:
    assert len(PATHS) > 50
    missing = [path for path in PATHS if not any(ROOT.glob(path))]
    assert not missing


def test_every_folder_of_the_packages_is_on_the_architecture_page() -> None:
    folders = {
        init.parent.relative_to(ROOT).as_posix()
        for package in ("rlm", "rlm_kernel", "rlm_ipython")
        for init in (ROOT / package).glob("*/__init__.py")
    }
    folders.discard("rlm_kernel/inside")  # a one-line alias for notebooks of the first format
    missing = [folder for folder in sorted(folders) if f"`{folder}/" not in PAGE]
    assert not missing


def test_the_five_questions_have_an_answer() -> None:
    answers = dict(re.findall(r"^\| (.+?\?) \| (.+) \|$", PAGE, re.MULTILINE))
    for question in QUESTIONS:
        assert re.search(r"`rlm\w*/", answers[question]), question


def test_the_picture_shows_the_errors_that_there_are() -> None:
    drawings = ROOT / "docs" / "drawings"
    sys.path.insert(0, str(drawings))
    try:
        import error_tree
    finally:
        sys.path.remove(str(drawings))
    assert (drawings / "errors.svg").read_text() == error_tree.svg(), (
        "run: python docs/drawings/error_tree.py"
    )
