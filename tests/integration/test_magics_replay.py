"""`%rlm replay` and `%rlm fork`: recorded runs again, and on from one of their turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

LOOK = "```repl\nx = llm_query('hey')\n```"
DONE = "```repl\nanswer['content'] = str(context)[:9] + x\nanswer['ready'] = True\n```"
OTHER = "```repl\nanswer['content'] = 'other ' + x\nanswer['ready'] = True\n```"


@pytest.mark.parametrize("suffix", ["ipynb", "json"])
def test_a_saved_run_is_played_again_without_a_model(
    notebook: Any, tmp_path: Path, suffix: str
) -> None:
    notebook.model([LOOK, DONE])
    notebook["text"] = "the story"
    notebook.run(f"%%rlm -v text --save {tmp_path}/run.{suffix};\nWhat?")
    asked = len(notebook.server.requests)
    assert notebook.run(f"%rlm replay {tmp_path}/run.{suffix} -o again") == "the storyok"
    assert len(notebook.server.requests) == asked
    assert notebook["again"].trajectory.root.started.root_prompt == "What?"
    assert [row[3] for row in notebook.run("%rlm runs").rows] == ["What?", "What?"]
    assert notebook.run(f"%rlm replay {tmp_path}/run.{suffix} ;") is None


def test_a_run_is_forked_at_a_turn_with_another_model(notebook: Any) -> None:
    notebook.model([LOOK, DONE, OTHER])
    notebook["text"] = "the story"
    notebook.run("%%rlm -v text ;\nWhat?")
    assert notebook.run("%rlm fork 1 2 -m better") == "other ok"
    assert notebook.server.requests[-1].body["model"] == "better"
    assert len(notebook.server.requests) == 4


def test_a_context_that_the_record_does_not_hold_is_given(notebook: Any, capsys: Any) -> None:
    notebook.model([LOOK, DONE, OTHER])
    notebook["big"] = "x" * 300_000
    notebook.run("%%rlm -v big ;\nWhat?")
    notebook.fails("%rlm fork 1 2 -o r")
    assert "context" in capsys.readouterr().out
    assert notebook["r"].error
    assert notebook["r"].prompt is None
    assert notebook.run("%rlm fork 1 2 -v big") == "other ok"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("%rlm fork 1 zwei", "TURN is the number of a turn"),
        ("%rlm fork 1", "It is: %rlm fork ID|PATH TURN [flags]"),
        ("%rlm fork 9 2", "There is no run '9'"),
        ("%rlm replay x.ipynb --persistent", "--persistent is for questions"),
        ("%rlm replay x.ipynb --nonsense", "--nonsense"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(
    notebook: Any, capsys: Any, line: str, told: str
) -> None:
    notebook.fails(line)
    assert told in capsys.readouterr().err


def test_a_file_that_is_not_there_is_a_paragraph(notebook: Any, capsys: Any) -> None:
    notebook.fails("%rlm replay nothing.ipynb")
    told = capsys.readouterr().out
    assert "nothing.ipynb" in told
    assert "Traceback (most" not in told
