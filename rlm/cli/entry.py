"""The entry point of `rlm`: takes arguments, returns an exit code, prints short errors."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from typing import TYPE_CHECKING

from rlm.cli.exit_codes import Exit
from rlm.cli.parser import parser
from rlm.errors import (
    ArgumentError,
    CancellationError,
    ConfigurationError,
    MissingPackageError,
    RLMError,
)
from rlm.run_options import Door
from rlm.run_options.spelling import through

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence


_DOORS: dict[str, Door] = {"run": "run", "replay": "replay", "demo": "demo", "kernel": "build"}
"""The commands whose flags are run options."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Without the program's name; None takes those of the process.

    Returns:
        The exit code (`Exit`).
    """
    options = parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An answer may hold characters that the terminal's encoding lacks: print escapes instead.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The program that reads our output has ended (`rlm run ... | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.ERROR
    except (KeyboardInterrupt, CancellationError) as stop:
        return _complain(options, stop, "Stopped.", Exit.CANCELLED)
    except (ConfigurationError, ArgumentError, MissingPackageError) as error:
        return _complain(options, error, f"rlm: {error}", Exit.USAGE)
    except RLMError as error:
        return _complain(options, error, f"rlm: {error}", Exit.ERROR)
    except Exception as error:  # noqa: BLE001 - nobody should see a bare traceback
        name = type(error).__name__
        text = f"rlm: {name}: {error}\nThis is a bug in rlm; run with --debug and report it."
        return _complain(options, error, text, Exit.ERROR)
    return code


def _command(options: argparse.Namespace) -> int:
    # Each command is a function in a module of the same name. It is imported only here, because
    # `rlm --help` must not wait for the engine.
    module = importlib.import_module(f"rlm.cli.{options.command}")
    command: Callable[[argparse.Namespace], int] = getattr(module, options.command)
    with through(_DOORS.get(options.command)):
        return command(options)


def _complain(options: argparse.Namespace, error: BaseException, text: str, code: Exit) -> Exit:
    if options.debug:
        traceback.print_exception(error)
    sys.stderr.write(f"{text}\n")
    return code
