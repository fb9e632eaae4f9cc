"""RLMLogger writes what the reference's readers read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from story import CONFIG, Story, a_whole_story, failure, stdout

from rlm.errors import ConfigurationError
from rlm.formats.jsonl.write import iterations, run_record
from rlm.logger import RLMLogger
from rlm.trajectory import RunNode, Trajectory

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "rlm-log.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def root_of(story: Story) -> RunNode:
    root = Trajectory.from_events(story.events).root
    assert root is not None
    return root


def log_of(logger: RLMLogger, *stories: Story) -> list[dict[str, Any]]:
    for story in stories:
        for event in story.events:
            logger.on_event(event)
    return lines_of(logger)


def lines_of(logger: RLMLogger) -> list[dict[str, Any]]:
    assert logger.log_file_path is not None
    text = Path(logger.log_file_path).read_text(encoding="utf-8")
    assert text.endswith("\n")
    # splitlines() breaks at more characters than "\n"; a line is one for both.
    assert text.splitlines() == text[:-1].split("\n")
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        VALIDATOR.validate(line)
    return lines


def a_cell(*outputs: dict[str, Any], **options: Any) -> dict[str, Any]:
    story = Story()
    with story.run(), story.turn(), story.cell("code", *outputs, **options):
        pass
    (entry,) = iterations(root_of(story))
    result: dict[str, Any] = entry["code_blocks"][0]["result"]
    return result


def test_the_schema_itself_is_valid_and_strict() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    good = json.loads(json.dumps({"type": "metadata"}))
    assert not VALIDATOR.is_valid(good)


def test_a_log_is_a_metadata_line_and_a_line_a_turn(tmp_path: Path) -> None:
    metadata, first, second = log_of(RLMLogger(tmp_path), a_whole_story())
    assert metadata["type"] == "metadata"
    assert metadata["root_model"] == "gpt-5-mini"
    assert metadata["backend_kwargs"] == {"model_name": "gpt-5-mini", "timeout": 30}
    assert metadata["environment_kwargs"] == {"memory_limit": "4g"}
    assert (metadata["max_depth"], metadata["max_iterations"]) == (2, 30)
    assert (first["type"], first["iteration"], second["iteration"]) == ("iteration", 1, 2)
    assert first["response"].startswith("I look at it first.")
    assert first["final_answer"] is None
    assert second["final_answer"] == "Ishmael"
    assert first["iteration_time"] == 2.5
    assert len(first["prompt"]) == 2
    assert [message["role"] for message in second["prompt"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


def test_a_code_block_has_what_viewers_read() -> None:
    first, second = iterations(root_of(a_whole_story()))
    (block,) = first["code_blocks"]
    assert block["code"] == "print(len(context))\n1/0"
    assert block["result"]["stdout"] == "10485760\n"
    assert block["result"]["stderr"] == "Traceback (most recent call last)\nValueError: no\n"
    assert block["result"]["execution_time"] == 0.25
    result = second["code_blocks"][0]["result"]
    assert result["final_answer"] == "Ishmael"
    assert result["stderr"] == "", "viewers take anything here for an error"
    assert result["locals"] == {
        "parts": "['Call me Ishmael.', ...]",
        "context": "<a str of 10,485,760 characters>",
        "context_0": "<a str of 10,485,760 characters>",
    }
    assert len(result["rlm_calls"]) == 17
    assert [call["name"] for call in result["tool_calls"]] == ["find"]


def test_sub_calls_are_logged_as_the_references_completions() -> None:
    _, second = iterations(root_of(a_whole_story()))
    calls = second["code_blocks"][0]["result"]["rlm_calls"]
    summary = {
        "total_calls": 1,
        "total_input_tokens": 100,
        "total_output_tokens": 10,
        "total_cost": 0.0001,
    }
    assert calls[0] == {
        "root_model": "gpt-5-nano",
        "prompt": "Part 0",
        "response": "It is a book.",
        "usage_summary": {
            "model_usage_summaries": {"gpt-5-nano": summary},
            "total_cost": 0.0001,
        },
        "execution_time": 0.4,
    }
    assert calls[3]["error"] == "429 too many requests"
    assert calls[3]["usage_summary"] == {"model_usage_summaries": {}}
    child = calls[16]
    assert child["prompt"] == "Read chapter 1"
    assert child["metadata"]["run_metadata"]["root_model"] == "gpt-5-mini"
    (turn,) = child["metadata"]["iterations"]
    assert turn["code_blocks"][0]["result"]["rlm_calls"][0]["prompt"] == "leaf"
    models = child["usage_summary"]["model_usage_summaries"]
    assert {model: use["total_calls"] for model, use in models.items()} == {
        "gpt-5-mini": 1,
        "gpt-5-nano": 1,
    }


def test_a_line_is_written_as_soon_as_its_turn_is_over(tmp_path: Path) -> None:
    logger = RLMLogger(tmp_path)
    story = a_whole_story()
    counts = []
    for event in story.events:
        logger.on_event(event)
        if event.type in {"run_started", "turn_finished"} and event.run_id == "r-1":
            counts.append(len(lines_of(logger)))
    assert counts == [1, 2, 3]


def test_a_killed_process_leaves_a_log_of_all_turns_that_were_over(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from story import a_whole_story\n"
        "from rlm.logger import RLMLogger\n"
        "logger = RLMLogger(sys.argv[2])\n"
        "for event in a_whole_story().events[:-1]: logger.on_event(event)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    here = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code, here, str(tmp_path)], check=False)
    assert done.returncode == -9
    (path,) = tmp_path.iterdir()
    assert len(path.read_text().splitlines()) == 3


def test_a_turn_that_was_stopped_is_logged_as_far_as_it_got(tmp_path: Path) -> None:
    story = a_whole_story()
    start = next(e for e in story.events if e.type == "cell_started" and "parts" in e.code)
    story.events = [*story.events[: story.events.index(start) + 8], story.events[-1]]
    lines = log_of(RLMLogger(tmp_path), story)
    last = lines[-1]
    assert (last["iteration"], last["iteration_time"], last["final_answer"]) == (2, None, None)
    result = last["code_blocks"][0]["result"]
    assert result["execution_time"] is None
    assert result["rlm_calls"][-1]["error"] == "The cell ended before the answer came."
    assert [line["iteration"] for line in lines[1:]] == [1, 2]


def test_a_turn_without_a_reply_is_no_iteration(tmp_path: Path) -> None:
    story = Story()
    error = {"type": "BackendError", "message": "503"}
    with story.run(status="error", answer=None, error=error), story.turn(None):
        pass
    assert [line["type"] for line in log_of(RLMLogger(tmp_path), story)] == ["metadata"]


def test_a_forced_answer_is_one_more_iteration(tmp_path: Path) -> None:
    story = Story()
    with story.run(status="exhausted"):
        with story.turn(number=30):
            pass
        with story.turn("It is Ishmael.", number=31, final="It is Ishmael."):
            pass
    *_, last = log_of(RLMLogger(tmp_path), story)
    assert (last["iteration"], last["code_blocks"]) == (31, [])
    assert last["final_answer"] == last["response"] == "It is Ishmael."


def test_the_file_is_named_once_and_as_the_reference_names_it(tmp_path: Path) -> None:
    logger = RLMLogger(str(tmp_path / "a" / "b"), "study")
    assert list((tmp_path / "a" / "b").iterdir()) == [], "the first line makes the file"
    log_of(logger, a_whole_story("one"), a_whole_story("two"))
    (path,) = (tmp_path / "a" / "b").iterdir()
    assert str(path) == logger.log_file_path
    assert re.fullmatch(r"study_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{8}\.jsonl", path.name), (
        path.name
    )
    assert [line["run_id"] for line in lines_of(logger)] == ["one-1"] * 3 + ["two-1"] * 3


def test_without_a_folder_the_log_is_in_memory_only() -> None:
    logger = RLMLogger()
    assert logger.get_trajectory() is None
    assert logger.iteration_count == 0
    for event in a_whole_story().events:
        logger.on_event(event)
    record = logger.get_trajectory()
    assert logger.log_file_path is None
    assert record is not None
    assert record.keys() == {"run_metadata", "iterations"}
    assert len(record["iterations"]) == logger.iteration_count == 2
    assert record == run_record(root_of(a_whole_story()))


def test_the_log_in_memory_is_of_the_run_that_began_last() -> None:
    logger = RLMLogger()
    for name in ("one", "two"):
        for event in a_whole_story(name).events:
            logger.on_event(event)
    record = logger.get_trajectory()
    assert record is not None
    assert len(record["iterations"]) == 2, "each completion begins anew"


def test_runs_at_once_interleave_whole_lines(tmp_path: Path) -> None:
    logger = RLMLogger(tmp_path)
    stories = [a_whole_story(f"run{number}") for number in range(8)]

    def tell(story: Story) -> None:
        for event in story.events:
            logger.on_event(event)

    threads = [threading.Thread(target=tell, args=(story,)) for story in stories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = lines_of(logger)
    for number in range(8):
        mine = [line for line in lines if line["run_id"] == f"run{number}-1"]
        assert [line.get("iteration") for line in mine] == [None, 1, 2]
        calls = mine[2]["code_blocks"][0]["result"]["rlm_calls"]
        assert calls[16]["metadata"]["iterations"], "each child is in its own parent's line"


def test_delta_prompts_hold_what_the_turn_added(tmp_path: Path) -> None:
    _, first, second = log_of(RLMLogger(tmp_path, prompts="delta"), a_whole_story())
    assert (first["prompt_kept"], len(first["prompt"])) == (0, 2)
    assert (second["prompt_kept"], len(second["prompt"])) == (2, 2)
    (child,) = second["code_blocks"][0]["result"]["rlm_calls"][16]["metadata"]["iterations"]
    assert child["prompt_kept"] == 0


def test_options_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="must be 'full' or 'delta', not 'some'"):
        RLMLogger(prompts="some")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="plain name, not 'a/b'"):
        RLMLogger(tmp_path, "a/b")


def test_a_childs_context_is_not_copied_into_the_log(tmp_path: Path) -> None:
    story = Story()
    whole = "whale " * 1_000_000
    with (
        story.run(),
        story.turn(),
        story.cell(),
        story.call(whole, "One.", kind="rlm"),
        story.run(question=None),
        story.turn(),
    ):
        pass
    _, line = log_of(RLMLogger(tmp_path), story)
    (call,) = line["code_blocks"][0]["result"]["rlm_calls"]
    assert "... + [5,990,000 chars...]" in call["prompt"]
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size < 20_000


def test_text_of_every_kind_makes_one_readable_line(tmp_path: Path) -> None:
    text = "é \u2028 \u2029 \x85 \x0b \x00 \ud800 😀"
    story = Story()
    with story.run(), story.turn(text), story.cell(text, stdout(text)), story.call(text, text):
        pass
    _, line = log_of(RLMLogger(tmp_path), story)
    assert line["response"] == text
    plain = Story()
    with plain.run(), plain.turn("é 😀"):
        pass
    logger = RLMLogger(tmp_path, "plain")
    log_of(logger, plain)
    assert logger.log_file_path is not None
    assert "é 😀" in Path(logger.log_file_path).read_text(encoding="utf-8")


def test_numbers_that_json_does_not_have_do_not_break_viewers(tmp_path: Path) -> None:
    story = Story()
    result = [float("nan"), float("inf"), 1.5]
    with story.run(), story.turn(), story.cell(), story.call({}, result, kind="tool", model="f"):
        pass
    _, line = log_of(RLMLogger(tmp_path), story)
    (call,) = line["code_blocks"][0]["result"]["tool_calls"]
    assert call["response"] == ["nan", "inf", 1.5]


def test_values_and_displays_are_in_stdout_and_images_are_only_named() -> None:
    result = a_cell(
        {"output_type": "execute_result", "data": {"text/plain": "42"}},
        {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo" * 10_000}},
        {"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]},
        {"output_type": "stream", "name": "stderr", "text": "careful\n"},
    )
    assert result["stdout"] == "42\n[image/png]\na\nb\n"
    assert result["stderr"] == "careful\n"


@pytest.mark.parametrize("status", ["timeout", "interrupted", "died"])
def test_a_cell_that_did_not_end_by_itself_says_so_in_stderr(status: str) -> None:
    assert a_cell(status=status)["stderr"] == f"[cell {status}]\n"


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"output_type": None},
        {"output_type": "stream"},
        {"output_type": "stream", "name": 1, "text": 2},
        {"output_type": "stream", "text": [None, {}]},
        {"output_type": "error"},
        {"output_type": "error", "traceback": "text"},
        {"output_type": "error", "traceback": [1]},
        {"output_type": "display_data", "data": []},
        {"output_type": "display_data", "data": {"text/plain": 3}},
    ],
)
def test_outputs_of_any_shape_are_logged(output: dict[str, Any]) -> None:
    result = a_cell(output)
    assert isinstance(result["stdout"], str)
    assert isinstance(result["stderr"], str)


def test_tracebacks_have_no_colours() -> None:
    assert "\x1b" not in a_cell(failure())["stderr"]


def test_no_secret_is_written(tmp_path: Path) -> None:
    key = "sk-" + "k" * 40
    kwargs = {
        "model_name": "gpt-5-mini",
        "api_key": key,
        "apiKey": key,
        "azure_ad_token": key,
        "default_headers": {"Authorization": f"Bearer {key}", "X-Api-Key": key, "X-Title": "t"},
        "base_url": f"https://user:{key}@host/v1?api_key=plainvalue&v=2",
        "max_tokens": 100,
        "client": object(),
        "fallbacks": [{"virtual_key": key, "model": "x"}],
    }
    story = Story()
    config = CONFIG | {"backend_kwargs": kwargs, "environment_kwargs": {"secret": key}}
    with story.run(config=config), story.turn():
        pass
    metadata, _ = log_of(RLMLogger(tmp_path), story)
    (path,) = tmp_path.iterdir()
    text = path.read_text()
    assert key not in text
    assert "plainvalue" not in text
    assert metadata["backend_kwargs"] == {
        "model_name": "gpt-5-mini",
        "default_headers": {"Authorization": "***", "X-Api-Key": "***", "X-Title": "***"},
        "base_url": "https://host/v1?v=2",
        "max_tokens": 100,
        "client": "<object>",
        "fallbacks": [{"model": "x"}],
    }
    assert metadata["environment_kwargs"] == {}


def test_the_logger_is_light_to_import() -> None:
    code = (
        "import sys, rlm.logger\n"
        "from rlm.logger import RLMLogger\n"
        "heavy = {'rich', 'openai', 'anthropic', 'nbformat', 'markdown_it'} & set(sys.modules)\n"
        "print(*sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "\n"


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    import rlm.logger

    with pytest.raises(AttributeError, match="has no attribute 'Printer'"):
        rlm.logger.Printer  # noqa: B018
    assert "RLMLogger" in dir(rlm.logger)
