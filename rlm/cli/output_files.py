"""Checks before a run that it can be saved, so that no paid answer is lost."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rlm.errors import ConfigurationError
from rlm.trajectory import SUFFIXES, format_of


def check_suffix(path: str | None) -> None:
    """Refuse a `--save` path whose suffix names no format that we write."""
    found = None if path is None else format_of(path)
    if path is not None and (found is None or found.writer is None):
        raise ConfigurationError(f"--save {path}: the suffix must be one of {', '.join(SUFFIXES)}.")


def check_writable(*, save: str | None, log_dir: str | None = None) -> None:
    """Refuse paths that cannot be written; make missing folders."""
    check_suffix(save)
    if save and Path(save).is_dir():
        raise ConfigurationError(f"--save {save} is a folder: name a file in it.")
    for flag, path, folder in (
        ("--save", save, save and Path(save).parent),
        ("--log-dir", log_dir, log_dir),
    ):
        if not folder:
            continue
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConfigurationError(
                f"{flag} {path}: nothing can be written there: {error.strerror}."
            ) from error
