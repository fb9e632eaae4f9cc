"""Planted secrets turn up nowhere: in no log, no file, no notebook that a run was shown in."""

from __future__ import annotations

import gc
import json
import logging
import random
import re
import weakref
import zlib
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rlm import RLM, RLMError
from rlm.demo.server import script
from rlm.logger import NotebookLog, OTelReader, RLMLogger
from rlm.render.view import as_output
from rlm.trajectory import Trajectory
from rlm_ipython.viewer.feed import Feed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rlm.demo.server import StandInServer

SUFFIXES = (".json", ".jsonl", ".ipynb", ".html", ".trace.json")

API_KEY = "planted-api-key-0123456789"
OTHER_KEY = "planted-other-key-0123456789"
HEADER = "planted-header-9999"
PASSWORD = "hunter2hunter2"
HOST_KEY = "planted-on-the-host-0123"
SSN = "123-45-6789"
PLANTED = (API_KEY, OTHER_KEY, HEADER, PASSWORD, HOST_KEY, SSN)


@pytest.fixture
def environment() -> str:
    return "local"


@pytest.fixture(autouse=True)
def _host_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", HOST_KEY)


def redact(text: str) -> str:
    return text.replace(SSN, "[ssn]")


def block(code: str) -> str:
    return f"I run this.\n```repl\n{code}\n```"


def found_by_code(text: str) -> str:
    """Return an expression for a text that does not stand in the code itself."""
    return f"bytes.fromhex({text.encode().hex()!r}).decode()"


ANSWER = block("answer = {'content': str(len(context)), 'ready': True}")


def texts(path: Path) -> Iterator[str]:
    """Yield what a file says, and what is packed into it."""
    data = path.read_bytes()
    if path.suffix == ".z":
        yield zlib.decompress(data).decode()
        return
    yield data.decode()
    if path.suffix == ".ipynb":
        source = json.loads(data)["cells"][1]["source"]
        payload = re.search(r'"""\n([A-Za-z0-9+/=\n]+)"""', "".join(source))
        if payload is not None:
            yield zlib.decompress(b64decode(payload[1])).decode()


def held(text: str, planted: tuple[str, ...] = PLANTED) -> list[str]:
    return [secret for secret in planted if secret in text]


def a_run_that_tells(scripted: Any, **options: Any) -> RLM:
    """Return an RLM in whose next run everything planted is printed, asked, replied and answered.

    A cell prints its kernel's environment, and the models say what nobody should have told them.
    """
    code = (
        "import os\n"
        "print(dict(os.environ))\n"
        f"print(context[:40], {found_by_code(HOST_KEY)})\n"
        f"print(llm_query('who has {SSN}? ' + os.environ['DB_PASSWORD'], model='m'))\n"
        "1 / 0"
    )
    said = f"{API_KEY} {OTHER_KEY} {HEADER}"
    answer = f"answer = {{'content': 'known: {said} {PASSWORD} {SSN}', 'ready': True}}"
    rlm: RLM = scripted(
        root=[f"My key is {API_KEY}.\n{block(code)}", block(answer)],
        sub=options.pop("sub", lambda prompt: f"He: {prompt} {said}"),
        backend_kwargs={
            "api_key": API_KEY,
            "default_headers": {"X-Auth": HEADER, "X-Title": "harmless title"},
        },
        other_backends=["openai"],
        other_backend_kwargs=[
            {"model_name": "other", "api_key": OTHER_KEY, "base_url": "http://127.0.0.1:1/v1"}
        ],
        environment_kwargs={"env": {"DB_PASSWORD": PASSWORD, "DB_NAME": "harmless database"}},
        **options,
    )
    return rlm


@pytest.mark.parametrize("size", [1, 1_500_000], ids=["packed into a cell", "packed into a file"])
def test_no_secret_is_in_any_file(scripted: Any, tmp_path: Path, size: int) -> None:
    noise = random.Random(0).randbytes(size).hex()
    logs = [
        NotebookLog(tmp_path / "a", redact=redact, context="file"),
        RLMLogger(tmp_path / "b", redact=redact),
    ]
    rlm = a_run_that_tells(
        scripted, logger=logs, sub=lambda prompt: f"{prompt} {noise} {API_KEY} {PASSWORD} {SSN}"
    )
    result = rlm.completion(f"His number is {SSN}.\n" * 10_000, root_prompt=SSN)
    assert result.trajectory is not None
    assert held(str(result.trajectory.events)) == list(PLANTED), "all of it was said"
    for suffix in SUFFIXES:
        result.save(tmp_path / f"saved{suffix}", redact=redact)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    packed = [path for path in files if path.name == "replies.json.z"]
    assert len(files) == 7 + len(packed)
    assert len(packed) == (2 if size > 1 else 0)
    assert sum(len(list(texts(path))) for path in files) == 9, "both payloads were looked into"
    for path in files:
        for text in texts(path):
            assert held(text) == [], path
            assert "[ssn]" in text
            assert "***" in text
    assert not list(tmp_path.rglob("context.*")), "a context that redact changes is not kept"


def test_what_is_no_secret_is_not_masked(scripted: Any, tmp_path: Path) -> None:
    result = a_run_that_tells(scripted).completion("abc", "A harmless title?")
    text = result.save(tmp_path / "run.json").read_text()
    assert "harmless database" in text
    assert "A harmless title?" in text
    assert SSN in text


@pytest.mark.parametrize(
    "context",
    [
        f"{'x' * 80_000} {HOST_KEY}",
        f"{'x' * 80_000} {HOST_KEY}".encode(),
        {"pages": ["x" * 80_000, {HOST_KEY: 1}]},
    ],
    ids=["text", "bytes", "json"],
)
def test_a_context_that_holds_a_secret_is_not_kept_in_a_file(
    scripted: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, context: Any
) -> None:
    log = NotebookLog(tmp_path, context="file")
    rlm = scripted(root=[ANSWER, ANSWER], logger=log)
    with caplog.at_level(logging.WARNING, "rlm"):
        answer = rlm.completion(context).answer
    (record,) = caplog.records
    assert "holds a secret" in record.getMessage()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [log.path]
    assert log.path is not None
    assert all(held(text) == [] for text in texts(log.path))
    with pytest.raises(RLMError, match="context"):
        RLM.from_notebook(log.path, replay=True).completion()
    with RLM.from_notebook(log.path, replay=True, context=context) as again:
        assert again.completion().answer == answer, "given again, it is known by its hash"


def test_a_context_without_a_secret_is_still_kept(scripted: Any, tmp_path: Path) -> None:
    log = NotebookLog(tmp_path, context="file")
    scripted(root=[ANSWER], logger=log).completion("x" * 80_000)
    assert [path.read_text() for path in tmp_path.rglob("context.txt")] == ["x" * 80_000]


def test_a_key_set_after_the_logger_was_made_is_masked_from_the_next_run_on(
    scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = [NotebookLog(tmp_path), RLMLogger(tmp_path)]
    late = "planted-late-0123456789"
    rlm = scripted(root=[block(f"print({found_by_code(late)})"), ANSWER], logger=logs)
    monkeypatch.setenv("LATE_TOKEN", late)
    rlm.completion("abc")
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    assert [path.name for path in files for text in texts(path) if late in text] == []


def test_spans_hold_no_secret(scripted: Any) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    reader = OTelReader(tracer_provider=provider, content=True, redact=redact)
    a_run_that_tells(scripted, logger=reader).completion(SSN, root_prompt=SSN)
    told = "\n".join(span.to_json() for span in exporter.get_finished_spans())
    provider.shutdown()
    assert "[ssn]" in told
    assert held(told) == []


def test_what_is_shown_of_a_run_holds_no_secret(
    scripted: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = tuple(secret for secret in PLANTED if secret != SSN)
    result = a_run_that_tells(scripted, verbose=True).completion("abc")
    assert result.trajectory is not None
    result.view()
    printed = capsys.readouterr()
    feed = Feed(result.trajectory)
    whole = [feed.whole(number) or "" for number in range(len(result.trajectory))]
    assert feed.search(PASSWORD) == []
    for shown in (
        str(as_output(result.trajectory)),
        printed.out,
        printed.err,
        feed.batch() or "",
        *whole,
        result._repr_markdown_(),
        repr(result),
    ):
        assert shown
        assert held(shown, secrets) == []
    assert held(str(result.trajectory.events), secrets) == list(secrets)


def test_the_secrets_of_a_run_are_known_as_long_as_a_copy_of_its_record_is_kept(
    scripted: Any, tmp_path: Path
) -> None:
    result = a_run_that_tells(scripted).completion("abc")
    assert result.trajectory is not None
    copy = Trajectory.from_events(result.trajectory.events)
    original = weakref.ref(result.trajectory)
    del result
    gc.collect()
    assert original() is None
    secrets = tuple(secret for secret in PLANTED if secret != SSN)
    assert held(str(copy.events), secrets) == list(secrets)
    for text in texts(copy.save(tmp_path / "copy.ipynb")):
        assert held(text, secrets) == []
    assert held(str(as_output(copy)), secrets) == []


def test_a_secret_is_masked_however_a_cell_spells_it(scripted: Any, tmp_path: Path) -> None:
    pem = '-----BEGIN KEY-----\nplanted+line/1\n"planted" line 2\n-----END KEY-----\n'
    code = (
        "import json, os\n"
        "from urllib.parse import quote, unquote, urlsplit\n"
        "print(os.environ)\n"
        "print(json.dumps(dict(os.environ)))\n"
        "print(quote(os.environ['TLS_KEY'], safe=''))\n"
        "print(unquote(urlsplit(os.environ['DATABASE_URL']).password))\n"
        "print(os.environ['TLS_KEY'])"
    )
    result = scripted(
        root=[block(code), ANSWER],
        environment_kwargs={
            "env": {"DATABASE_URL": "postgres://u:pl%40nted-password@host/db", "TLS_KEY": pem}
        },
    ).completion("abc")
    planted = ("pl@nted-password", "pl%40nted-password", "planted+line", "planted%2Bline", "line 2")
    assert result.trajectory is not None
    assert held(str(result.trajectory.events), planted) == list(planted)
    for text in texts(result.save(tmp_path / "run.ipynb")):
        assert held(text, planted) == []


IN_A_NOTEBOOK = """
import os, sys
if {bare}: sys.modules["anywidget"] = None
from rlm import RLM
rlm = RLM(
    backend_kwargs={{"model_name": "m", "base_url": {url!r}, "api_key": os.environ["PLANTED_A"]}},
    environment_kwargs={{"env": {{"DB_PASSWORD": os.environ["PLANTED_B"]}}}},
    verbose=True,
)
result = rlm.completion("abc")
rlm.close()
result.view()
result
"""
MAGIC = """
%load_ext rlm_ipython
%config RLMMagics.base_url = {url!r}
%config RLMMagics.backend_kwargs = {{"api_key": os.environ["PLANTED_A"]}}
"""


@pytest.mark.parametrize("bare", [False, True], ids=["with widgets", "without"])
def test_a_notebook_in_which_a_run_was_shown_holds_no_secret(
    server: Callable[..., StandInServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bare: bool,
) -> None:
    monkeypatch.setenv("PLANTED_A", API_KEY)
    monkeypatch.setenv("PLANTED_B", PASSWORD)
    spy = "import os\nprint(os.environ.get('DB_PASSWORD'))"
    done = f"answer = {{'content': 'It is {API_KEY}.', 'ready': True}}"
    url = server(script([f"Asked with {API_KEY}.\n{block(spy)}", block(done)] * 2)).base_url
    cells = (
        IN_A_NOTEBOOK.format(url=url, bare=bare),
        MAGIC.format(url=url),
        "%%rlm -m m\nWhat?",
    )
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=60,
        resources={"metadata": {"path": str(tmp_path)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    client.execute()
    saved = json.dumps(notebook)
    assert "It is ***." in saved
    assert held(saved) == []
    assert ("widgets" in notebook.metadata) == (not bare)
