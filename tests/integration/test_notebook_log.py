"""A notebook that is written while its run goes on: whole at every moment, and never in the way."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from rlm import ConfigurationError, Trajectory
from rlm.formats.notebook.read import read_notebook
from rlm.logger import NotebookLog
from rlm.trajectory import redacted_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlm.demo.server import LMRequest, StandInServer


@pytest.fixture
def environment() -> str:
    return "local"


def cell(code: str) -> str:
    return f"I run this.\n```repl\n{code}\n```"


ASK = cell("parts = llm_query_batched([f'part {i}' for i in range(30)])\nprint(len(parts))")
ANSWER = cell("answer = {'content': str(len(context)), 'ready': True}")


def notebooks(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ipynb"))


def test_a_run_is_a_notebook_that_holds_its_whole_trajectory(scripted: Any, tmp_path: Path) -> None:
    log = NotebookLog(tmp_path / "runs")
    rlm = scripted(root=[ASK, ANSWER], logger=log)
    result = rlm.completion("abc", root_prompt="Wie viele Zeichen? How many, exactly / please?")
    (path,) = notebooks(tmp_path / "runs")
    assert log.path == path
    assert path.name.startswith("wie-viele-zeichen-how-many-exactly-pleas_20")
    assert list(path.parent.iterdir()) == [path], "nothing else is left"
    nbformat.validate(nbformat.read(path, as_version=4))  # type: ignore[no-untyped-call]
    assert Trajectory.load(path).events == result.trajectory.events


def test_saving_a_result_makes_the_same_notebook(scripted: Any, tmp_path: Path) -> None:
    log = NotebookLog(tmp_path)
    result = scripted(root=[ASK, ANSWER], logger=log).completion("abc")
    assert log.path is not None
    again = result.save(log.path.with_name("saved.ipynb"))
    first, second = (json.loads(path.read_bytes()) for path in (log.path, again))
    assert [c["id"] for c in first["cells"]] == [c["id"] for c in second["cells"]]
    assert Trajectory.load(again).events == Trajectory.load(log.path).events


def test_children_are_in_their_root_runs_notebook(scripted: Any, tmp_path: Path) -> None:
    code = "answer = {'content': rlm_query('abc') if len(context) > 3 else 'abc', 'ready': True}"
    log = NotebookLog(tmp_path)
    result = scripted(lambda _: cell(code), logger=log, max_depth=2).completion("context")
    assert log.path is not None
    loaded = Trajectory.load(log.path)
    assert loaded.counts["children"] == 1
    assert loaded.events == result.trajectory.events


def test_runs_at_once_have_a_notebook_each(scripted: Any, tmp_path: Path) -> None:
    log = NotebookLog(tmp_path)
    rlm = scripted(lambda _: ANSWER, logger=log)
    threads = [
        threading.Thread(target=rlm.completion, args=("x" * n,), kwargs={"root_prompt": "Same?"})
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = [Trajectory.load(path).root.answer for path in notebooks(tmp_path)]  # type: ignore[union-attr]
    assert sorted(map(str, answers)) == ["0", "1", "2", "3", "4", "5"]


def test_a_run_that_fails_leaves_its_notebook(scripted: Any, tmp_path: Path) -> None:
    log = NotebookLog(tmp_path)
    with pytest.raises(Exception, match="script has 1 root replies"):
        scripted(root=[ASK], logger=log).completion("abc")
    (path,) = notebooks(tmp_path)
    root = Trajectory.load(path).root
    assert root is not None
    assert root.finished is not None
    assert root.finished.status == "error"


HOST = """
import sys
from rlm import RLM
from rlm.logger import NotebookLog
rlm = RLM(
    backend="openai",
    backend_kwargs={{"model_name": "m", "base_url": {url!r}}},
    logger=NotebookLog({folder!r}),
    max_depth=2,
)
rlm.completion("context", root_prompt="Who?")
"""


@pytest.mark.parametrize("in_child", [False, True])
@pytest.mark.parametrize("calls", [1, 20])
def test_a_killed_process_leaves_the_notebook_up_to_the_last_write(
    server: Callable[..., StandInServer], tmp_path: Path, in_child: bool, calls: int
) -> None:
    reached = threading.Event()
    killed = threading.Event()
    asked: list[str] = []

    def reply(request: LMRequest) -> str:
        if request.is_root and (not in_child or "3 characters" not in str(request.messages)):
            if in_child:
                return cell("rlm_query('abc')")
            if request.turn == 1:
                return cell("print('first turn')")
        asked.append(request.prompt)
        if len(asked) <= calls:
            return cell(f"print('turn {len(asked)}')")
        reached.set()
        killed.wait(60)
        return "too late"

    url = server(reply).base_url
    code = HOST.format(url=url, folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        assert reached.wait(60)
        (path,) = notebooks(tmp_path)
        wait_for(lambda: f"turn {calls}" in path.read_text())
        process.kill()
        process.wait(30)
    finally:
        killed.set()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
    nbformat.validate(nbformat.read(path, as_version=4))  # type: ignore[no-untyped-call]
    loaded = Trajectory.load(path)
    assert loaded.root is not None
    assert loaded.root.pending
    assert len(loaded.root.children) == in_child
    run = loaded.root.children[0] if in_child else loaded.root
    assert len(run.cells) == calls + (not in_child)
    assert run.turns[-1].pending


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something has happened that nobody tells of."""
    pause, deadline = threading.Event(), seconds / 0.02
    while not condition():
        deadline -= 1
        assert deadline > 0
        pause.wait(0.02)


def test_a_kill_at_any_moment_leaves_a_valid_notebook(
    server: Callable[..., StandInServer], tmp_path: Path
) -> None:
    url = server(lambda _: ASK).base_url
    sizes = []
    for moment in range(6):
        folder = tmp_path / str(moment)
        code = HOST.format(url=url, folder=str(folder))
        process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        try:
            wait_for(lambda: bool(notebooks(folder)))  # noqa: B023 - called before the next round
            threading.Event().wait(0.15 * moment)
        finally:
            process.kill()
            process.wait(30)
        (path,) = notebooks(folder)
        sizes.append(len(read_notebook(path.read_bytes()).trajectory))
    assert all(sizes)


def test_a_folder_that_cannot_be_written_is_said_once_and_the_run_goes_on(
    scripted: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "runs"
    log = NotebookLog(folder)
    rlm = scripted(root=[ASK, ASK, ANSWER], logger=log)
    folder.write_text("in the way")  # Root may write to any folder that is read-only.
    with caplog.at_level(logging.WARNING, "rlm"):
        assert rlm.completion("abc").answer == "3"
    assert caplog.text.count("cannot be written") == 1
    assert log.path is None


def test_a_full_disk_is_said_once_and_the_run_goes_on(
    scripted: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = (
        NotebookLog("/dev/full-disk") if Path("/dev/full-disk").is_dir() else NotebookLog(tmp_path)
    )
    rlm = scripted(root=[ASK, ANSWER], logger=log)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, hard))
    try:
        with caplog.at_level(logging.WARNING, "rlm"):
            assert rlm.completion("abc").answer == "3"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert caplog.text.count("cannot be written") == 1
    for path in notebooks(tmp_path):
        read_notebook(path.read_bytes())
    assert not list(tmp_path.glob(".*")), "no half file is left"


def test_wrong_arguments_are_refused_before_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="is a file"):
        NotebookLog(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="'inline', 'file', 'hash'"):
        NotebookLog(tmp_path, context="all")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="redact must be callable"):
        NotebookLog(tmp_path, redact="secret")  # type: ignore[arg-type]
    assert not notebooks(tmp_path)


BIG = "Call me Ishmael.\n" * 200_000


def test_a_big_context_is_in_a_file_next_to_the_notebook_when_asked_for(
    scripted: Any, tmp_path: Path
) -> None:
    log = NotebookLog(tmp_path, context="file")
    scripted(root=[ANSWER], logger=log).completion(BIG)
    assert log.path is not None
    found = read_notebook(log.path.read_bytes())
    about = found.about["context_file"]
    assert about["path"] == f"{log.path.stem}.rlm/context.txt"
    assert (tmp_path / about["path"]).read_text() == BIG
    assert found.trajectory.root is not None
    assert about["sha256"] == found.trajectory.root.context["sha256"]
    assert log.path.stat().st_size < 60_000


@pytest.mark.parametrize("context", ["inline", "hash"])
def test_a_big_context_is_nowhere_else(scripted: Any, tmp_path: Path, context: Any) -> None:
    log = NotebookLog(tmp_path, context=context)
    scripted(root=[ANSWER], logger=log).completion(BIG)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*")) < 60_000


@pytest.mark.parametrize(("context", "held"), [("inline", True), ("file", True), ("hash", False)])
def test_a_small_context_is_in_the_notebook_unless_only_its_hash_may(
    scripted: Any, tmp_path: Path, context: Any, held: bool
) -> None:
    log = NotebookLog(tmp_path, context=context)
    text = "the secret of the whale " * 20
    scripted(root=[ANSWER], logger=log).completion(text)
    assert log.path is not None
    assert (text in log.path.read_text()) == held
    assert not list(tmp_path.glob("*.rlm"))


def test_a_redacted_notebook_still_loads(scripted: Any, tmp_path: Path) -> None:
    def redact(text: str) -> str:
        return text.replace("part", "P")

    result = scripted(root=[ASK, ANSWER]).completion("abc")
    path = result.save(tmp_path / "run.ipynb", redact=redact)
    expected = tuple(redacted_event(event, redact) for event in result.trajectory.events)
    assert Trajectory.load(path).events == expected
