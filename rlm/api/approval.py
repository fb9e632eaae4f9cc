"""Asks a person before each cell: `RLM(approve=ask)`, and `%%rlm --step`."""

from __future__ import annotations

import sys

from rlm.core.main_thread import main_thread_here
from rlm.render.safe_text import safe_text

__all__ = ["ask"]

_RUN = {"r", "run", "y", "yes"}
_EDIT = {"e", "edit"}
_STOP = {"s", "stop", "n", "no", "q", "quit"}


def ask(code: str, turn: int) -> str | None:
    """Show a cell, and ask with `input()` whether to run it, edit it first, or stop the run.

    It asks on the thread that waits for the run: there Ctrl-C stops the run as usual.

    Args:
        code: What the model wants to run.
        turn: The turn's number.

    Returns:
        The code to run; None to stop the run.
    """
    main_thread = main_thread_here()
    if main_thread is None:
        return _decided(code, turn)
    return main_thread.call(_decided, code, turn)


def _decided(code: str, turn: int) -> str | None:
    _show(code, turn)
    while True:
        try:
            choice = input("[r]un, [e]dit, [s]top? ").strip().lower()
            if choice in _EDIT:
                code = _edited(code)
                _show(code, turn)
        except EOFError:
            return None
        if choice in _RUN:
            return code
        if choice in _STOP:
            return None


def _show(code: str, turn: int) -> None:
    # All of it, however long: nobody can approve what they have not seen.
    lines = "".join(f"  | {line}\n" for line in safe_text(code).rstrip("\n").split("\n"))
    sys.stdout.write(f"Turn {turn} wants to run:\n{lines}")
    sys.stdout.flush()


def _edited(code: str) -> str:
    sys.stdout.write("Write the new cell line by line; a line with only a dot (.) ends it.\n")
    sys.stdout.flush()
    lines = []
    while (line := input("  | ")) != ".":
        lines.append(line)
    return "\n".join(lines) if lines else code
