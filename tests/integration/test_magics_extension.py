"""Loading and unloading the magics, their sub-commands, and Tab."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter

DONE = "```repl\nanswer['content'] = str(context)\nanswer['ready'] = True\n```"


def state(shell: Any) -> dict[str, Any]:
    """Return everything of a shell that an extension could change."""
    manager = shell.magics_manager
    return {
        "magics": {kind: dict(table) for kind, table in manager.magics.items()},
        "registry": dict(manager.registry),
        "lazy": dict(manager.lazy_magics),
        "configurables": list(shell.configurables),
        "matchers": list(shell.Completer.custom_matchers),
        "hooks": {name: getattr(shell.hooks, name) for name in shell.hooks},
        "names": set(shell.user_ns),
        "hidden": set(shell.user_ns_hidden),
        "events": {name: list(found) for name, found in shell.events.callbacks.items()},
        "exceptions": (shell.custom_exceptions, shell.CustomTB, sys.excepthook),
        "transformers": (
            list(shell.input_transformers_post),
            list(shell.input_transformer_manager.cleanup_transforms),
            list(shell.ast_transformers),
        ),
        "formatters": {
            mime: (dict(f.type_printers), dict(f.deferred_printers), dict(f.singleton_printers))
            for mime, f in shell.display_formatter.formatters.items()
        },
        "extensions": set(shell.extension_manager.loaded),
    }


@pytest.mark.parametrize("name", ["rlm", "rlm_ipython"])
def test_unloading_leaves_the_shell_exactly_as_it_was(notebook: Any, name: str) -> None:
    shell = notebook.shell
    shell.run_line_magic("unload_ext", "rlm_ipython")
    notebook["text"] = "some"
    before = state(shell)
    shell.run_line_magic("load_ext", name)
    assert state(shell)["magics"] != before["magics"]
    notebook.model([DONE])
    with provisionalcompleter():
        list(shell.Completer.completions("%%rlm --m", 9))
    shell.run_cell_magic("rlm", "-v text --persistent ;", "What?")
    shell.run_line_magic("unload_ext", name)
    assert state(shell) == before


def test_a_magic_of_that_name_that_was_there_before_comes_back(notebook: Any) -> None:
    shell = notebook.shell
    shell.run_line_magic("unload_ext", "rlm_ipython")
    shell.register_magic_function(lambda line: f"mine {line}", "line", "rlm")
    shell.run_line_magic("load_ext", "rlm")
    assert notebook.run("%rlm cost").rows == ()
    shell.run_line_magic("unload_ext", "rlm")
    assert notebook.run("%rlm x") == "mine x"


def test_two_names_are_one_extension(notebook: Any) -> None:
    shell = notebook.shell
    shell.run_line_magic("load_ext", "rlm")
    assert len(shell.Completer.custom_matchers) == 1
    shell.run_line_magic("unload_ext", "rlm")
    assert shell.find_cell_magic("rlm") is not None
    shell.run_line_magic("reload_ext", "rlm_ipython")
    assert len(shell.Completer.custom_matchers) == 1


def test_defaults_can_stand_in_the_shells_configuration(notebook: Any) -> None:
    shell = notebook.shell
    shell.run_line_magic("unload_ext", "rlm_ipython")
    shell.config.RLMMagics.model = "from a file"
    shell.config.RLMMagics.max_depth = 2
    shell.run_line_magic("load_ext", "rlm_ipython")
    assert notebook.magics.model == "from a file"
    assert "from a file" in str(notebook.run("%rlm"))


def test_defaults_can_stand_in_the_environment(notebook: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("RLM_MODEL", "of the environment")
    monkeypatch.setenv("RLM_BACKEND", "vllm")
    assert notebook.magics.model == "of the environment"
    assert notebook.magics.backend == "vllm"


def test_a_default_that_is_not_allowed_is_refused(notebook: Any, caplog: Any) -> None:
    notebook.run("%config RLMMagics.environment = 'moon'")
    assert "expected any of ['local', 'docker', 'modal']" in caplog.text
    assert notebook.magics.environment == "local"


def test_loading_imports_no_sdk_and_no_engine() -> None:
    code = (
        "import sys, IPython; from IPython.core.interactiveshell import InteractiveShell as S\n"
        "shell = S.instance(); shell.run_line_magic('load_ext', 'rlm')\n"
        "lazy = ('openai', 'anthropic', 'rich', 'nbformat', 'jupyter_client', 'anywidget',"
        " 'ipywidgets', 'pandas', 'rlm.api.rlm', 'docker', 'modal')\n"
        "print([name for name in lazy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def completions(notebook: Any, text: str) -> list[str]:
    """Return what a front end offers at the end of the text's first line."""
    with provisionalcompleter():
        end = text.find("\n") if "\n" in text else len(text)
        offered = notebook.shell.Completer.completions(text, end)
        return [text[: c.start].rpartition(" ")[2] + c.text for c in offered]


def test_tab_completes_flags(notebook: Any) -> None:
    assert completions(notebook, "%%rlm --bu") == ["--budget"]
    assert {"--docker", "--model", "--var"} <= set(completions(notebook, "%%rlm -"))
    assert completions(notebook, "%%rlm -v x --ti\nthe question") == ["--timeout"]


def test_tab_completes_variables(notebook: Any) -> None:
    notebook.run("import os\nreport = 1\nrepo = 2\ndef report_it(): pass\n_report = 3")
    assert completions(notebook, "%%rlm -v rep") == ["repo", "report"]
    assert completions(notebook, "%%rlm -m x -o repor") == ["report"]


def test_tab_completes_models_and_backends(notebook: Any) -> None:
    notebook.run("%config RLMMagics.model = 'local/llama3:8b'")
    assert "gpt-5" in completions(notebook, "%%rlm -m gp")
    assert completions(notebook, "%%rlm -m local/ll") == ["local/llama3:8b"]
    assert completions(notebook, "%%rlm -s local/llama3:8") == ["local/llama3:8b"]
    assert completions(notebook, "%%rlm -b anthr") == ["anthropic"]


def test_tab_completes_sub_commands_and_runs(notebook: Any) -> None:
    notebook.model([DONE])
    notebook.run("%%rlm ;\nWhat?")
    assert completions(notebook, "%rlm ru") == ["runs"]
    assert completions(notebook, "%rlm show ") == ["1"]
    assert completions(notebook, "%rlm fork 1 2 --docke") == ["--docker"]
    assert "gpt-5" in completions(notebook, "%rlm fork 1 2 -m gp")


def test_tab_elsewhere_is_left_alone(notebook: Any) -> None:
    notebook["report"] = 1
    assert completions(notebook, "repo") == ["report"]
    assert "--budget" not in completions(notebook, "%%time --bu")
    text = "%%rlm -v report\n%%rlm --bu"
    with provisionalcompleter():
        offered = notebook.shell.Completer.completions(text, len(text))
        assert "--budget" not in [c.text for c in offered]


def test_the_manual_names_every_flag(notebook: Any, capsys: Any) -> None:
    notebook.run("%%rlm?")
    manual = capsys.readouterr().out
    for flag in ("--var", "--docker", "--budget", "--persistent", "--bg", "--step", "--save"):
        assert flag in manual
    notebook.run("%rlm?")
    manual = capsys.readouterr().out
    for command in ("runs", "show", "stop", "cost", "models", "save", "load", "close"):
        assert f"\n  {command}" in manual


def test_runs_are_listed_shown_saved_and_loaded(notebook: Any, tmp_path: Path, capsys: Any) -> None:
    notebook.model(["```repl\nx = llm_query('hey')\n```", DONE])
    assert "no runs yet" in str(notebook.run("%rlm runs"))
    notebook.run("%%rlm ;\nWhat is it?")
    listed = str(notebook.run("%rlm runs"))
    assert "1   answered  m" in listed
    assert "What is it?" in listed
    capsys.readouterr()
    notebook.run("%rlm show")
    assert "llm_query" in capsys.readouterr().out
    path = notebook.run(f"%rlm save 1 '{tmp_path}/a run.json'")
    assert path.exists()
    loaded = notebook.run(f"%rlm load '{path}'")
    assert loaded.root.answer == "What is it?"
    assert "a run.json" not in listed
    assert [row[0] for row in notebook.run("%rlm runs").rows] == ["1", "2"]


def test_usage_is_added_up_by_model(notebook: Any) -> None:
    notebook.model(["```repl\nx = llm_query('hey')\n```", DONE, DONE])
    notebook.run("%config RLMMagics.prices = {'m': (1.0, 2.0)}")
    notebook.run("%%rlm -s small;\n?")
    notebook.run("%%rlm ;\n?")
    rows = {row[0]: row for row in notebook.run("%rlm cost").rows}
    assert rows["m"][1] == "3"
    assert rows["m"][4].startswith("$")
    assert rows["small"][1] == "1"
    assert rows["small"][4] == "unknown"
    assert rows["all"][4].startswith("at least $")


def test_usage_of_forgotten_runs_still_counts(notebook: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("rlm_ipython.runs.KEPT", 1)
    notebook.model([DONE] * 3)
    for _ in range(3):
        notebook.run("%%rlm ;\n?")
    assert [row[0] for row in notebook.run("%rlm runs").rows] == ["3"]
    assert [row[:2] for row in notebook.run("%rlm cost").rows] == [("m", "3")]


OTHERS = """
import sys
from rlm import RLM
with RLM(backend_kwargs={"model_name": "theirs", "base_url": sys.argv[1]}) as rlm:
    print(rlm.completion("theirs", root_prompt="Who are they?").answer)
"""


def test_runs_of_other_processes_are_listed_while_they_go_on(notebook: Any, tmp_path: Path) -> None:
    over = tmp_path / "over"
    begun = {"mine": threading.Event(), "theirs": threading.Event()}
    waits = (
        "```repl\nllm_query(context)\nimport pathlib, time\n"
        f"while not pathlib.Path({str(over)!r}).exists(): time.sleep(0.01)\n"
        "answer['content'] = context; answer['ready'] = True\n```"
    )
    notebook.model(lambda _: waits, lambda prompt: begun[prompt].set() or "ok")
    notebook["text"] = "mine"
    notebook.run("%%rlm --bg -v text -o mine ;\nWhat?")
    command = [sys.executable, "-c", OTHERS, notebook.server.base_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert all(event.wait(60) for event in begun.values())
            own, other = notebook.run("%rlm runs").rows
            assert own[:4] == ("1", "running", "m", "What?")
            status = f"running in process {process.pid}"
            assert other[1:7] == (status, "theirs", "Who are they?", "", "", "")
            assert notebook["mine"].id not in other[0]
        finally:
            over.touch()
        said, _ = process.communicate(timeout=60)
    assert said == "theirs\n"
    assert notebook["mine"].result().answer == "mine"
    assert [row[1] for row in notebook.run("%rlm runs").rows] == ["answered"]


def test_models_say_their_window_and_which_keys_are_set(notebook: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    table = str(notebook.run("%rlm models"))
    assert "$ANTHROPIC_API_KEY is set" in table
    assert "$OPENAI_API_KEY is not set" in table
    assert "sk-secret" not in table
    assert "272,000" in table


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("%rlm shwo", "Did you mean 'show'?"),
        ("%rlm what is this", "%%rlm (two percent signs)"),
        ("%rlm show 7", "There is no run '7'"),
        ("%rlm show", "Nothing has been asked yet"),
        ("%rlm save 1", "Usage: %rlm save ID PATH"),
        ("%rlm load", "Usage: %rlm load PATH"),
        ("%rlm save 'x", "No closing quotation"),
    ],
)
def test_a_command_that_cannot_work_says_so_in_one_line(
    notebook: Any, capsys: Any, line: str, told: str
) -> None:
    notebook.fails(line)
    captured = capsys.readouterr().err
    assert told in captured
    assert captured.count("\n") == 1


def test_a_file_that_is_no_run_is_a_paragraph(notebook: Any, capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    notebook.fails(f"%rlm load {tmp_path}/x.json")
    told = capsys.readouterr().out
    assert "x.json" in told
    assert "Traceback (most" not in told


def test_tables_escape_what_models_wrote(notebook: Any) -> None:
    notebook.model([DONE])
    notebook.run("%%rlm ;\n<script>alert(1)</script>\x1b[31m")
    page = notebook.run("%rlm runs")._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in str(notebook.run("%rlm runs"))
