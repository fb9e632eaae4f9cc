"""What a run's record says of its context: enough to know it again, and a small one itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rlm.logger import RLMLogger

if TYPE_CHECKING:
    from rlm import RLM
    from rlm.trajectory import RunNode

ANSWER = "```repl\nanswer = {'content': len(context), 'ready': True}\n```"


@pytest.fixture
def environment() -> str:
    return "local"


def root(rlm: RLM, context: Any) -> RunNode:
    result = rlm.completion(context, root_prompt="How long?")
    assert result.answer == str(len(context))
    assert result.trajectory is not None
    assert result.trajectory.root is not None
    return result.trajectory.root


def test_a_small_context_is_in_the_record_and_not_in_the_reference_log(
    scripted: Any, tmp_path: Path
) -> None:
    logger = RLMLogger(tmp_path)
    run = root(scripted(root=[ANSWER], logger=logger), "a very small context")
    assert run.started.context["value"] == "a very small context"
    assert run.context["sha256"] == hashlib.sha256(b"a very small context").hexdigest()
    assert logger.log_file_path is not None
    assert "very small" not in Path(logger.log_file_path).read_text()


@pytest.mark.parametrize("context", ["x" * 5_000_000, ["y" * 1000] * 5000, {1: "a" * 70_000}])
def test_a_big_context_is_identified_before_the_run_is_over(scripted: Any, context: Any) -> None:
    run = root(scripted(root=[ANSWER]), context)
    assert "value" not in run.context
    assert len(run.context["sha256"]) == 64
    assert [note.kind for note in run.notes] == ["context"]
    assert "sha256" not in run.started.context


def test_the_hash_of_a_big_text_is_its_files(scripted: Any, tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("Call me Ishmael.\n" * 200_000)
    run = scripted(root=[ANSWER]).completion(path).trajectory.root
    assert run.context["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_childs_context_is_its_calls_prompt(scripted: Any) -> None:
    code = "answer = {'content': rlm_query('abc') if len(context) > 3 else 'abc', 'ready': True}"
    rlm = scripted(lambda _: f"```repl\n{code}\n```", max_depth=2)
    run = rlm.completion("context").trajectory.root
    (child,) = run.children
    assert "value" not in child.started.context
    assert child.context["sha256"] == hashlib.sha256(b"abc").hexdigest()
