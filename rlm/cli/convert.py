"""`rlm convert`: writes a recorded run in another format."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rlm.cli.exit_codes import Exit
from rlm.cli.load_log import recorded
from rlm.cli.sidecar import carry_context
from rlm.errors import ConfigurationError, RLMError

if TYPE_CHECKING:
    import argparse
    import re

    from rlm.trajectory import Trajectory

MASK = "***"


def convert(options: argparse.Namespace) -> int:
    """Read one file and write the other."""
    from rlm.trajectory import SUFFIXES, format_of

    found = format_of(options.target)
    if found is None or found.writer is None:
        known = ", ".join(SUFFIXES)
        raise ConfigurationError(
            f"Cannot write {options.target!r}: its suffix must be one of {known}."
        )
    trajectory = _source(options.source, options.run)
    patterns: list[re.Pattern[str]] = options.redact

    def redact(text: str) -> str:
        for pattern in patterns:
            text = pattern.sub(MASK, text)
        return text

    context = None
    try:
        if not patterns:  # The context may hold the texts to redact: it is left out.
            context = carry_context(trajectory, options.source, options.target)
        path = trajectory.save(options.target, redact=redact if patterns else None)
    except OSError as error:
        why = error.strerror or error
        raise RLMError(f"{options.target!r} cannot be written: {why}.") from error
    sys.stderr.write(f"saved: {path}\n")
    if context is not None:
        sys.stderr.write(f"context: {context}\n")
    return Exit.OK


def _source(file: str, number: int | None) -> Trajectory:
    """Read the recorded run; this command alone reads notebooks of format 1 too."""
    from rlm.formats.notebook.format1 import is_format1, load_format1
    from rlm.trajectory import TrajectoryError

    path = Path(file)
    content = b""
    if path.suffix.lower() == ".ipynb" and path.is_file():
        content = path.read_bytes()
    if not is_format1(content):
        return recorded(file, number)
    try:
        return load_format1(content, path)
    except TrajectoryError as error:
        raise TrajectoryError(f"{path}: {error}") from None
