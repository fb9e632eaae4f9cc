"""The context of a run that is played again: what brings it back, and what is said of another."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from story import Story

from rlm import ContextError, ContextMismatchError, Trajectory
from rlm.context import describe
from rlm.core.replay_port import NOT_GIVEN
from rlm.replay.context import context_of
from rlm_kernel.context.hash import hash_context
from rlm_kernel.context.value import context_value

if TYPE_CHECKING:
    from rlm.trajectory import RunNode

ROWS = [{"name": "Ishmael", "age": age, "of": ["Nantucket", 1.5]} for age in (None, 1, 2)]
BOOK = "Call me Ishmael.\nSome years ago\n"


def about(value: Any, remark: str = "", **more: Any) -> RunNode:
    """Return a run that was about a value which its log does not hold."""
    told = describe(value, remark, inline=False).to_dict()
    return said({**told, **asdict(hash_context(context_value(value))), **more})


def said(context: dict[str, Any]) -> RunNode:
    tale = Story()
    with tale.run():
        pass
    tale.events[0] = replace(tale.events[0], context=json.loads(json.dumps(context)))
    root = Trajectory.from_events(tale.events).root
    assert root is not None
    return root


@pytest.mark.parametrize(
    ("value", "content"),
    [
        pytest.param(ROWS, json.dumps(ROWS, indent=2).encode(), id="a JSON list"),
        pytest.param({"ä": BOOK}, json.dumps({"ä": BOOK}).encode(), id="a dict of texts"),
        pytest.param(b"plain ASCII", b"plain ASCII", id="bytes that could be text"),
        pytest.param(b"\xff\x00", b"\xff\x00", id="bytes"),
        pytest.param(BOOK, BOOK.encode(), id="text"),
        pytest.param('{"not": "read"}', b'{"not": "read"}', id="text that could be JSON"),
        pytest.param(BOOK, BOOK.replace("\n", "\r\n").encode(), id="line ends translated"),
        pytest.param("\ufeff" + BOOK, BOOK.encode("utf-8-sig"), id="with its mark"),
        pytest.param(BOOK, BOOK.replace("\n", "\r\n").encode("utf-8-sig"), id="without its mark"),
        pytest.param("a\ud800b", b"a\xed\xa0\x80b", id="text that is no UTF-8"),
    ],
)
def test_a_file_restores_the_context_made_from_it(
    tmp_path: Path, value: Any, content: bytes
) -> None:
    (tmp_path / "file").write_bytes(content)
    assert context_of(about(value), tmp_path / "file")[0] == value


def test_the_context_of_a_run_killed_early_is_restored_by_its_type(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    run = said(describe(ROWS, inline=False).to_dict() | {"form": None, "sha256": None})
    assert context_of(run, tmp_path / "rows.json")[0] == ROWS
    (tmp_path / "rows.json").write_text("[]")
    with pytest.raises(ContextMismatchError, match="is a list of 0 items"):
        context_of(run, tmp_path / "rows.json")


def test_a_folder_restores_its_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(BOOK)
    assert context_of(about({"a.txt": BOOK}), tmp_path)[0] == {"a.txt": BOOK}


@pytest.mark.parametrize(
    ("value", "content", "says"),
    [
        (BOOK, b"Call me Ahab.", ["a str of 13 characters", "It has 'Call me Ahab.' where"]),
        (BOOK, BOOK.encode() + b".", ["a str of 33 characters", "a str of 32 characters"]),
        (BOOK, b"\xff", ["a bytes of 1 bytes", "a str of 32 characters"]),
        (ROWS, b"[1, 2, 3, 4]", ["a list of 4 items, all int", "a list of 3 items, all dict"]),
        (ROWS, b"no JSON", ["a str of 7 characters", "A file is read as JSON"]),
        (b"abcd", b"abce", ["a bytes of 4 bytes", "b'abce'", "b'abcd'"]),
    ],
)
def test_another_file_is_refused_with_what_differs(
    tmp_path: Path, value: Any, content: bytes, says: list[str]
) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ContextMismatchError) as refused:
        context_of(about(value), tmp_path / "file")
    message = str(refused.value)
    for part in [*says, "is not the one that the run was about", str(tmp_path / "file")]:
        assert part in message
    assert refused.value.expected in message
    assert refused.value.found in message


@pytest.mark.parametrize(
    ("value", "remark", "says"),
    [
        (BOOK, "", ["Give it: context=Path('FILE.txt'), or", "--context FILE.txt"]),
        (
            BOOK,
            ", read from the file 'my book.txt'",
            ["Path('my book.txt')", "--context 'my book.txt'", "it begins 'Call"],
        ),
        ({"a": BOOK}, ", the text files of the folder 'notes' by relative path", ["Path('notes')"]),
        (ROWS, "", ["Path('FILE.json')", "a list of 3 items"]),
        ({1, 2}, "", ["a set of 2 items", "Give the object itself, in Python: context=..."]),
    ],
)
def test_the_error_for_a_missing_context_describes_it(
    value: Any, remark: str, says: list[str]
) -> None:
    run = about(value, remark)
    with pytest.raises(ContextError) as missing:
        context_of(run, NOT_GIVEN)
    for part in [*says, run.context["sha256"]]:
        assert part in str(missing.value)


def test_a_log_without_a_description_of_its_context_accepts_any() -> None:
    run = said({"type": "unknown", "length": 0, "description": "", "preview": ""})
    assert context_of(run, BOOK)[0] == BOOK
    with pytest.raises(ContextError, match=r"context=Path\('FILE'\), or"):
        context_of(run, NOT_GIVEN)


def test_an_untrusted_log_reads_no_file_and_controls_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(BOOK)
    remark = f", read from the file '{tmp_path / 'book.txt'}'"
    run = about(BOOK, remark, description=f"\x1b[2J\n{remark}", preview="\x1b]0;x\x07")
    for given in (NOT_GIVEN, "other"):
        with pytest.raises(ContextError) as refused:
            context_of(run, given, tmp_path / "run.ipynb")
        assert str(refused.value).replace("\n", "").isprintable()


def test_a_damaged_context_file_next_to_the_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.rlm").mkdir()
    file = tmp_path / "run.rlm" / "context.json"
    file.write_bytes(b'{"a": "b"}')
    run = about({"a": "b"})
    assert context_of(run, NOT_GIVEN, tmp_path / "run.ipynb")[0] == {"a": "b"}
    file.write_bytes(b'{"a": "b"!')
    with pytest.raises(ContextMismatchError, match=r"context\.json"):
        context_of(run, NOT_GIVEN, tmp_path / "run.ipynb")
