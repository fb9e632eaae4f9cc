"""The rows for the arguments of `RLM` about the loop, its tools and its readers."""

from __future__ import annotations

from typing import Any

from rlm.run_options.option import RunOption


def _setting(name: str, kind: str, meaning: str, **bounds: Any) -> RunOption:
    return RunOption(name, kind, meaning, from_log="taken", logged="settings", **bounds)


BEHAVIOUR: tuple[RunOption, ...] = (
    RunOption("custom_system_prompt", "str | None", "a system prompt in place of ours"),
    RunOption(
        "logger",
        "Reader | Sequence[Reader] | None",
        "a reader of events, such as rlm.logger.RLMLogger, or a list of them",
    ),
    RunOption(
        "custom_tools",
        "dict[str, Any] | None",
        "functions and values that the model's code can use, by name",
        from_log="taken",
    ),
    RunOption(
        "custom_sub_tools",
        "dict[str, Any] | None",
        "the tools of children; None: the same, {}: none",
        from_log="taken",
    ),
    _setting(
        "compaction",
        "bool",
        "have the model sum up a conversation that grows too long",
        default=False,
    ),
    _setting(
        "compaction_threshold_pct",
        "float",
        "the share of the model's window that is too long",
        default=0.85,
        above=True,
        maximum=1,
    ),
    _setting(
        "max_concurrent_subcalls",
        "int",
        "children at once, at each depth",
        default=16,
        minimum=1,
    ),
    _setting(
        "max_concurrent_queries",
        "int",
        "plain LM calls at once, in the whole tree",
        default=64,
        minimum=1,
    ),
    RunOption(
        "on_subcall_start",
        "Callable[[int, str, str], Any] | None",
        "called with a child's depth, model and the beginning of its prompt",
    ),
    RunOption(
        "on_subcall_complete",
        "Callable[[int, str, float, str | None], Any] | None",
        "called with a child's depth, model, seconds and error",
    ),
    RunOption(
        "on_iteration_start",
        "Callable[[int, int], Any] | None",
        "called with a turn's depth and number",
    ),
    RunOption(
        "on_iteration_complete",
        "Callable[[int, int, float], Any] | None",
        "called with a turn's depth, number and seconds",
    ),
    RunOption(
        "sampling_args",
        "dict[str, Any] | None",
        "fields of every request to the root model, such as temperature",
        from_log="taken",
    ),
    RunOption(
        "sub_sampling_args",
        "dict[str, Any] | None",
        "fields of every request of a sub-call",
        from_log="taken",
    ),
    _setting(
        "orchestrator",
        "bool",
        "give the system prompt a part on delegating work",
        default=True,
    ),
    _setting(
        "user_prologue",
        "str | None",
        "a user message before the first turn",
    ),
    _setting(
        "context_window",
        "dict[str, int] | None",
        "model to tokens, where ours is missing or wrong",
    ),
    _setting(
        "cell_timeout",
        "float | None",
        "seconds that a cell may run; None: no limit",
        default=600.0,
        above=True,
    ),
    _setting(
        "max_restarts",
        "int",
        "how often a run may replace a lost kernel",
        default=3,
    ),
    RunOption(
        "approve",
        "Callable[[str, int], Any] | None",
        "called with a cell's code and the turn's number before the cell runs",
    ),
    _setting(
        "head_only",
        "bool",
        "show only the beginning of a long output, as the reference does",
        default=False,
    ),
    _setting(
        "show_images",
        "bool",
        "send images that a cell displays to the root model",
        default=False,
    ),
    _setting(
        "python_fences",
        "PythonFences",
        'run ```python blocks when a reply has no ```repl block; "auto": only until the model has '
        "written a ```repl block",
        default="auto",
    ),
    RunOption("replay", "ReplaySource | None", "the log that from_notebook replays"),
)
