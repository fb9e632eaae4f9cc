"""`rlm demo`: makes a whole run on real input, without a key."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.cli.exit_codes import Exit
from rlm.cli.output_files import check_suffix
from rlm.cli.sidecar import finds_its_context
from rlm.demo import model
from rlm.demo.question import QUESTION, Count, collect, count, read_answer
from rlm.demo.server import StandInServer
from rlm.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from rlm.core.types import RLMChatCompletion
    from rlm.trajectory import Trajectory

STAND_IN = """\
The model is a STAND-IN, not a language model: a fixed policy that reads what it is sent, served
over HTTP on this machine. The run is real: the engine, the kernels, every call and the count."""

REAL = "OPENAI_API_KEY=... rlm demo --backend openai --model gpt-5-mini"


def demo(options: argparse.Namespace) -> int:
    """Answer the demo's question and check the answer; exit code 1 if the stand-in's is wrong."""
    from rlm import RLM
    from rlm.logger import RLMLogger

    check_suffix(options.save)
    real = _real_model(options)
    sources = collect()
    size = sum(map(len, sources.values()))
    _say(f"{'Real model: ' + options.model if real else STAND_IN}\n")
    _say(f"Input: {len(sources):,} files, {size:,} characters: this Python's own sources.")
    _say(f"Question: {QUESTION}\n")
    with ExitStack() as running:
        backend, backend_kwargs = real or _stand_in(running)
        logger = RLMLogger(log_dir=options.log_dir, file_name="demo")
        rlm = running.enter_context(
            RLM(
                backend=backend,
                backend_kwargs=backend_kwargs,
                max_depth=2,
                logger=logger,
                verbose=not options.quiet,
            )
        )
        result = rlm.completion(sources, root_prompt=QUESTION)
    _say("")
    sys.stdout.write(f"{result.response}\n")
    sys.stdout.flush()
    agrees = _check(result.response, sources)
    again = _report(result, options.save, logger.log_file_path, sources)
    if real is None:
        _say(f"\nThe same with a real model (it costs money):\n  {REAL}")
    if again:
        _say(f"\nThe same run again, from its log (no model, no network, no key):\n  {again}")
    return Exit.OK if agrees or real else Exit.ERROR


def _real_model(options: argparse.Namespace) -> tuple[str, dict[str, Any]] | None:
    """Return the backend and its keywords if the user names a real model."""
    if not (options.backend or options.model or options.base_url):
        return None
    if not options.model:
        raise ConfigurationError(f"Name the real model with --model, such as: {REAL}")
    backend_kwargs = {"model_name": options.model}
    if options.base_url:
        backend_kwargs["base_url"] = options.base_url
    return options.backend or "openai", backend_kwargs


def _stand_in(running: ExitStack) -> tuple[str, dict[str, Any]]:
    """Start the stand-in model, and return the backend and keywords that reach it."""
    server = running.enter_context(StandInServer(model.reply, record=False))
    return "openai", {
        "model_name": model.NAME,
        "base_url": server.base_url,
        "api_key": "EMPTY",
    }


def _check(answer: str, sources: Mapping[str, str]) -> bool:
    """Compare the answer with a plain count over the same files, and report the result."""
    truth = count(sources)
    said = read_answer(answer)
    if said == truth:
        _say(f"\nCheck: a plain line-by-line count of the same files agrees ({_figures(truth)}).")
        return True
    if said is None:
        _say(f"\nCheck: the answer lacks the closing line; the plain count is {_figures(truth)}.")
        return False
    _say(f"\nCheck: WRONG. The answer says {_figures(said)}; a plain count is {_figures(truth)}.")
    return False


def _report(
    result: RLMChatCompletion, save: str | None, log: str | None, sources: Mapping[str, str]
) -> str | None:
    """Report time, cost and files of the run; return the command that replays it."""
    from rlm.render.outline import summary

    again = None
    if result.trajectory is not None and result.trajectory.root is not None:
        _say(f"Took: {summary(result.trajectory.root)}")
        if save:
            again = _save(result.trajectory, Path(save), sources)
    _say(f"Log: {log}")
    return again


def _save(trajectory: Trajectory, path: Path, sources: Mapping[str, str]) -> str | None:
    """Save the run, and its 10 MB of input in a file next to it: no log holds so much."""
    from rlm.formats.notebook.sidecar import CONTEXT_SUFFIXES, may_be_kept, write_context
    from rlm.redaction import Redaction
    from rlm_kernel.context.value import context_value

    about, value = None, context_value(sources)
    if (
        finds_its_context(path)
        and value.form in CONTEXT_SUFFIXES
        and may_be_kept(value, Redaction())
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        about = write_context(value, path)
    _say(f"Saved: {trajectory.save(path)}")
    if about is None:
        return None
    _say(f"Its input: {path.parent / about['path']}")
    return f"rlm replay {shlex.quote(str(path))}"


def _figures(found: Count) -> str:
    return (
        f"raises={found.raises}; files={found.files}; most={found.most or '-'}; in_it={found.in_it}"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
