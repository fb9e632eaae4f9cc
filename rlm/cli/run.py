"""`rlm run`: answers a question about a context."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm.cli.arguments import rlm_arguments
from rlm.cli.exit_codes import Exit
from rlm.cli.output_files import check_writable
from rlm.cli.run_and_report import complete
from rlm.errors import ConfigurationError
from rlm.run_options import ARGUMENT, OPTIONS

if TYPE_CHECKING:
    import argparse

_CHARACTERS_PER_TOKEN = 4


def run(options: argparse.Namespace) -> int:
    """Answer the question, or print what would be done (`--dry-run`)."""
    from rlm import RLM

    chosen = rlm_arguments(options)
    context = _context(options)
    if options.dry_run:
        config = RLM(**chosen).config  # starts nothing, and refuses what a run would refuse
        chosen["environment_kwargs"] = config.public()["environment_kwargs"]  # no secrets
        return _dry_run(options, chosen, context)
    check_writable(save=options.save, log_dir=options.log_dir)
    return complete(options, lambda **more: RLM(**chosen, **more), context, options.question)


def _context(options: argparse.Namespace) -> Any:
    """Return a path that the engine reads, the text or bytes of stdin, or the question."""
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
    """Print what a run would get; send and start nothing."""
    from rlm.context import describe
    from rlm_kernel.context.read_path import read_path

    value, remark = read_path(context) if isinstance(context, Path) else (context, "")
    about = describe(value, remark)
    characters = _characters(value)
    limits = {
        row.name: chosen[row.name]
        for row in OPTIONS
        if row.place == ARGUMENT and row.name in chosen and row.kind in {"int", "float"}
    }
    report = {
        "question": options.question,
        "context": about.to_dict() | {"characters": characters},
        "backend": chosen["backend"],
        "model": options.model,
        "sub_model": options.sub_model or options.model,
        "environment": chosen["environment"],
        "environment_kwargs": chosen["environment_kwargs"],
        "limits": limits,
        "prices": chosen["prices"],
    }
    if options.json:
        sys.stdout.write(json.dumps(report, ensure_ascii=False, indent=2) + "\n")
        return Exit.OK
    tokens = "" if characters is None else f", about {characters // _CHARACTERS_PER_TOKEN:,} tokens"
    environment = [f"{name} {value}" for name, value in chosen["environment_kwargs"].items()]
    set_limits = [f"{name} {value:,}" for name, value in limits.items() if value is not None]
    lines = [
        f"question     {options.question}",
        f"context      {about.description}{tokens}",
        f"model        {options.model} ({chosen['backend']})",
        f"sub-calls    {options.sub_model or options.model}",
        f"environment  {', '.join([chosen['environment'], *environment])}",
        f"limits       {', '.join(set_limits)}",
        *([f"prices       {chosen['prices']}"] if chosen["prices"] else []),
        "Nothing was sent, and no kernel was started.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return Exit.OK


def _characters(value: Any) -> int | None:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(text) for text in value.values())
    return None
