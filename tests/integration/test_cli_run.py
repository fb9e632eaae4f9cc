"""`rlm run` as a person or a script uses it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from rlm.cli import main
from rlm.demo.server import LMResponse, script
from rlm.trajectory import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rlm.demo.server import LMRequest, StandInServer

    Serve = Callable[..., StandInServer]

COUNT = """\
```repl
answer["content"] = f"{type(context).__name__} of {len(context)}: {llm_query('word')}"
answer["ready"] = True
```"""


def command(server: StandInServer, *arguments: str) -> list[str]:
    where = ["--backend", "vllm", "--base-url", server.base_url, "--model", "m"]
    return ["run", "how long is it?", *where, *arguments]


def process(arguments: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "rlm", *arguments],
        input=stdin,
        capture_output=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def counting(server: Serve) -> StandInServer:
    return server(script(root=lambda _: COUNT, sub=str.upper))


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text("Call me Ishmael.")
    return path


def test_the_answer_goes_to_stdout_and_the_rest_to_stderr(
    counting: StandInServer, book: Path
) -> None:
    result = process(command(counting, "--context", str(book), "--verbose"))
    assert result.returncode == 0, result.stderr
    assert result.stdout == b"str of 16: WORD\n"
    assert b"answered \xc2\xb7 1 turn \xc2\xb7 1 sub-call" in result.stderr
    assert b"llm_query" in result.stderr, "the run as it happened"


def test_quiet_prints_the_answer_alone(counting: StandInServer, book: Path) -> None:
    result = process(command(counting, "--context", str(book), "--quiet"))
    assert (result.stdout, result.stderr) == (b"str of 16: WORD\n", b"")


@pytest.mark.parametrize(
    ("stdin", "answer"),
    [("größer\n".encode(), b"str of 7: WORD\n"), (b"\xff\x00", b"bytes of 2: WORD\n")],
)
def test_stdin_is_a_context(counting: StandInServer, stdin: bytes, answer: bytes) -> None:
    result = process(command(counting, "--context", "-", "--quiet"), stdin)
    assert result.stdout == answer, result.stderr


def test_a_folder_is_a_context(
    counting: StandInServer, book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (book.parent / "other.txt").write_text("x")
    assert main(command(counting, "--context", str(book.parent))) == 0
    assert capsys.readouterr().out == "dict of 2: WORD\n"


def test_without_a_context_the_question_alone_is_sent(
    counting: StandInServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(counting)) == 0
    assert capsys.readouterr().out == "str of 15: WORD\n"


def test_json_is_one_object_with_answer_and_figures(
    counting: StandInServer, book: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log_dir = tmp_path / "logs"
    code = main(command(counting, "--context", str(book), "--json", "--log-dir", str(log_dir)))
    assert code == 0
    said = json.loads(capsys.readouterr().out)
    assert said["answer"] == "str of 16: WORD"
    assert (said["status"], said["model"], said["error"]) == ("answered", "m", None)
    assert (said["turns"], said["sub_calls"], said["children"]) == (1, 1, 0)
    assert said["usage"]["model_usage_summaries"]["m"]["total_calls"] == 2
    assert said["time"] > 0
    assert [said["log"]] == [str(path) for path in log_dir.glob("*.jsonl")]


def test_a_saved_run_can_be_loaded(
    counting: StandInServer, book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new folder" / "run.json"
    assert main(command(counting, "--context", str(book), "--save", str(path))) == 0
    root = load(path).root
    assert root is not None
    assert root.answer == "str of 16: WORD"
    assert f"saved: {path}" in capsys.readouterr().err


def test_a_sub_model_gets_the_sub_calls(counting: StandInServer, book: Path) -> None:
    assert main(command(counting, "--context", str(book), "--sub-model", "small")) == 0
    assert [request.model for request in counting.requests] == ["m", "small"]


def test_a_dry_run_says_what_would_be_done_and_asks_nobody(
    counting: StandInServer, book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command(counting, "--context", str(book), "--dry-run", "--timeout", "60")
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "a str of 16 characters" in text
    assert "m (vllm)" in text
    assert "max_timeout 60" in text
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["context"]["characters"] == 16
    assert said["limits"]["max_iterations"] == 30
    assert counting.requests == []


def test_a_provider_that_refuses_is_exit_code_1_and_one_paragraph(
    server: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    refusing = server(lambda _: LMResponse(text="no such model", status=404))
    assert main(command(refusing)) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no such model" in printed.err
    assert "Traceback" not in printed.err
    assert main(command(refusing, "--debug")) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--context", "/nowhere/at/all"], "there is no such file or folder"),
        (["--environment", "moon"], "local"),
        (["--save", "run.xyz"], "suffix"),
        (["--budget", "1"], "price"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_wrong_settings_are_exit_code_2_before_any_call(
    counting: StandInServer,
    arguments: list[str],
    complaint: str,
    dry: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(command(counting, *arguments, *dry)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert complaint in printed.err
    assert counting.requests == []


@pytest.mark.parametrize("flag", ["--save", "--log-dir"])
def test_what_cannot_be_written_is_refused_before_any_call(
    counting: StandInServer, flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.json").mkdir()
    assert main(command(counting, flag, str(tmp_path / "file" / "below" / "run.json"))) == 2
    assert "nothing can be written" in capsys.readouterr().err
    assert main(command(counting, "--save", str(tmp_path / "folder.json"))) == 2
    assert "is a folder" in capsys.readouterr().err
    assert counting.requests == []


def test_an_answer_that_cannot_be_saved_is_still_printed(
    server: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "run.json"

    def answer(_: LMRequest) -> str:
        target.mkdir(exist_ok=True)  # the place is taken while the run goes on
        return COUNT.replace("{llm_query('word')}", "paid for")

    assert main(command(server(script(root=answer)), "--save", str(target))) == 1
    printed = capsys.readouterr()
    assert "paid for" in printed.out
    assert "could not be saved" in printed.err


def test_a_missing_key_is_exit_code_2_and_names_the_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", "why?", "--model", "gpt-5-mini"]) == 2
    assert "OPENAI_API_KEY" in capsys.readouterr().err


def test_a_limit_is_exit_code_3_with_the_partial_answer(
    server: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = '```repl\nanswer["content"] = "so far"\n```'
    spending = server(script(root=lambda _: LMResponse(text=draft, usage=(900, 100))))
    assert main(command(spending, "--tokens", "1500")) == 3
    printed = capsys.readouterr()
    assert printed.out == "so far\n"
    assert "1,500" in printed.err
    assert main(command(spending, "--tokens", "1500", "--json")) == 3
    said = json.loads(capsys.readouterr().out)
    assert (said["answer"], said["status"]) == ("so far", "limit")
    assert said["error"]["type"] == "TokenLimitExceededError"


def test_ctrl_c_is_exit_code_130_and_leaves_nothing(server: Serve) -> None:
    asked = threading.Event()

    def reply(request: LMRequest) -> LMResponse:
        asked.set()
        return LMResponse(delay=3600)

    with subprocess.Popen(
        [sys.executable, "-m", "rlm", *command(server(reply))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    ) as running:
        assert asked.wait(60)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert out == b""
    assert err.endswith(b"Stopped.\n")
    assert b"Traceback" not in err


def test_a_closed_pipe_on_stdout_is_no_traceback(counting: StandInServer, book: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        result = subprocess.run(
            [sys.executable, "-m", "rlm", *command(counting, "--context", str(book), "--quiet")],
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=100,
            check=False,
        )
    assert (result.returncode, result.stderr) == (1, b"")
