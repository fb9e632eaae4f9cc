"""`rlm run`: a question, a context, an answer."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.cli.exit_codes import Exit
from rlm.cli.settings import settings
from rlm.cli.summary import figures
from rlm.errors import CancellationError, ConfigurationError, LimitExceededError, RLMError

if TYPE_CHECKING:
    import argparse

    from rlm.trajectory import RunNode, Trajectory

_CHARACTERS_PER_TOKEN = 4


def run(options: argparse.Namespace) -> int:
    """Answer the question, or say what would be done (`--dry-run`).

    Returns:
        The exit code.

    Raises:
        RLMError: The run failed, or could not begin.
    """
    from rlm import RLM  # noqa: PLC0415 - after the arguments are known to be right
    from rlm.logger import RLMLogger  # noqa: PLC0415 - same

    chosen = settings(options)
    context = _context(options)
    if options.dry_run:
        RLM(**chosen)  # starts nothing, and refuses what a run would refuse
        return _dry_run(options, chosen, context)
    _refuse_unwritable(options)
    logger = RLMLogger(log_dir=options.log_dir) if options.log_dir else None
    verbose = options.verbose or (sys.stderr.isatty() and not options.quiet)
    error: RLMError | None = None
    try:
        with RLM(**chosen, logger=logger, verbose=verbose) as rlm:
            result = rlm.completion(context, root_prompt=options.question)
        answer, trajectory = result.response, result.trajectory
    except RLMError as caught:
        error = caught
        answer, trajectory = caught.partial_answer or "", caught.trajectory
    if trajectory is None or trajectory.root is None:
        raise error or RLMError("The run left no record.")
    saved, trouble = _save(trajectory, options.save)
    files = {"saved": saved, "log": logger.log_file_path if logger else None}
    _print_answer(options, answer, trajectory.root, error, files)
    if not options.quiet:
        _print_figures(trajectory.root, files, told=verbose)
    if trouble is not None:
        sys.stderr.write(f"rlm: The run could not be saved to {options.save!r}: {trouble}\n")
    if isinstance(error, LimitExceededError):
        sys.stderr.write(f"rlm: {error}\n")
        return Exit.LIMIT
    if error is not None:
        raise error
    return Exit.ANSWER if trouble is None else Exit.ERROR


def _refuse_unwritable(options: argparse.Namespace) -> None:
    """Refuse, before anything is paid for, what could not be written afterwards.

    Raises:
        ConfigurationError: `--save` or `--log-dir` names no place that can be written.
    """
    targets = {"--save": options.save and Path(options.save).parent, "--log-dir": options.log_dir}
    if options.save and Path(options.save).is_dir():
        raise ConfigurationError(f"--save {options.save!r} is a folder: name a file in it.")
    for flag, folder in targets.items():
        if folder:
            try:
                Path(folder).mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise ConfigurationError(
                    f"{flag}: nothing can be written to {str(folder)!r}: {error.strerror}."
                ) from error


def _save(trajectory: Trajectory, path: str | None) -> tuple[str | None, str | None]:
    """Save the run; return where, and what went wrong: a paid answer is printed all the same."""
    if not path:
        return None, None
    try:
        return str(trajectory.save(path)), None
    except OSError as error:
        return None, error.strerror or str(error)


def _print_answer(
    options: argparse.Namespace,
    answer: str,
    root: RunNode,
    error: RLMError | None,
    files: dict[str, str | None],
) -> None:
    """Print the answer to stdout, as text or in a JSON object."""
    if options.json:
        said = error and {"type": type(error).__name__, "message": str(error)}
        report = {"answer": answer, **figures(root), **files, "error": said}
        sys.stdout.write(json.dumps(report, ensure_ascii=False, indent=2) + "\n")
    elif answer and (error is None or isinstance(error, LimitExceededError | CancellationError)):
        sys.stdout.write(answer + "\n")
    sys.stdout.flush()


def _print_figures(root: RunNode, files: dict[str, str | None], *, told: bool) -> None:
    """Print what the run took, unless the console has told it, and where its files are."""
    from rlm.logger.outline import summary  # noqa: PLC0415 - imports more than a run needs

    lines = [] if told else [summary(root)]
    lines += [f"{what}: {path}" for what, path in files.items() if path]
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _context(options: argparse.Namespace) -> Any:
    """Return the context: a path for the engine to read, stdin's text or bytes, or the question."""
    if options.context is None:
        return options.question
    if options.context == "-":
        data = sys.stdin.buffer.read()
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data
    path = Path(options.context)
    if not path.exists():
        raise ConfigurationError(
            f"--context {options.context!r}: there is no such file or folder. "
            "Give a file, a folder, or - for stdin."
        )
    return path


def _dry_run(options: argparse.Namespace, chosen: dict[str, Any], context: Any) -> int:
    """Print what a run would be given; nothing is sent, and nothing is started."""
    from rlm.core.context import describe  # noqa: PLC0415 - needed here alone
    from rlm_kernel.inside.reading import read_path  # noqa: PLC0415 - same

    value, remark = read_path(context) if isinstance(context, Path) else (context, "")
    about = describe(value, remark)
    characters = _characters(value)
    limits = {
        name: chosen[name]
        for name in (
            "max_depth",
            "max_iterations",
            "max_budget",
            "max_timeout",
            "max_tokens",
            "max_errors",
        )
    }
    report = {
        "question": options.question,
        "context": about.to_dict() | {"characters": characters},
        "backend": chosen["backend"],
        "model": options.model,
        "sub_model": options.sub_model or options.model,
        "environment": chosen["environment"],
        "limits": limits,
        "prices": chosen["prices"],
    }
    if options.json:
        sys.stdout.write(json.dumps(report, ensure_ascii=False, indent=2) + "\n")
        return Exit.ANSWER
    tokens = "" if characters is None else f", about {characters // _CHARACTERS_PER_TOKEN:,} tokens"
    set_limits = [f"{name} {value:,}" for name, value in limits.items() if value is not None]
    lines = [
        f"question     {options.question}",
        f"context      {about.description}{tokens}",
        f"model        {options.model} ({chosen['backend']})",
        f"sub-calls    {options.sub_model or options.model}",
        f"environment  {chosen['environment']}",
        f"limits       {', '.join(set_limits)}",
        *([f"prices       {chosen['prices']}"] if chosen["prices"] else []),
        "Nothing was sent, and no kernel was started.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return Exit.ANSWER


def _characters(value: Any) -> int | None:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(text) for text in value.values())
    return None
