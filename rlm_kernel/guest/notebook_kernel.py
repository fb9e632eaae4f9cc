"""The notebook kernel: an ordinary kernel for people, with the names of a model's REPL.

It has history, `input()`, the debugger and ordinary output, and its user may rebind a reserved
name. `%rlm_context` loads a context, as the engine does for a model.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.error import UsageError
from IPython.core.magic import no_var_expand
from traitlets import Type

from rlm_kernel.context.read_path import cut, read_path
from rlm_kernel.env_names import ENVIRONMENT, SUBCALL_SERVER
from rlm_kernel.errors import ContextError
from rlm_kernel.guest.kernel import RLMKernel

if TYPE_CHECKING:
    from concurrent.futures import Future


class NotebookKernel(RLMKernel):
    """The kernel of the kernelspecs `rlm`, `rlm-docker` and `rlm-modal`."""

    shell_class: Any = Type(ZMQInteractiveShell)
    model_mode = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names.keep("context_0", "")
        self.shell.register_magic_function(self.rlm_context, magic_name="rlm_context")

    def has_host(self) -> bool:
        """Return whether something answers sub-calls, or soon will."""
        return super().has_host() or bool(os.environ.get(SUBCALL_SERVER))

    def ask_host(self, kind: str, prompt: Any, model: str | None) -> Future[Any]:
        """Send a call of a run in this kernel, which an interrupted cell does not fail.

        The future gets `(value, error)`.
        """
        body = {"kind": kind, "model": model, "prompt": prompt}
        (future,) = self._subcalls.submit([body], of_cell=False)
        return future

    def abandon(self, future: Future[Any]) -> None:
        """Cancel a call that nobody waits for any more."""
        self._subcalls.abandon([future])

    @no_var_expand
    def rlm_context(self, line: str) -> None:
        """Set `context`, as the engine does for a model, and reset `answer`.

        ::

            %rlm_context NAME    a variable of this notebook
            %rlm_context PATH    a file (its text, or bytes), or a folder ({path: text})
            %rlm_context         say what `context` is now
        """
        name = line.strip()
        if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"":
            name = name[1:-1]
        if name:
            value, remark = self._value(name)
            self.names.keep("context_0", value)
            self.names.reset_answer()
        else:
            value, remark = self.shell.user_ns.get("context"), ""
        print(f"context is {_about(value)}{remark}")  # noqa: T201 - a magic's answer

    def _value(self, name: str) -> tuple[Any, str]:
        if name.isidentifier() and name in self.shell.user_ns:
            return self.shell.user_ns[name], f", the variable {name}"
        try:
            return read_path(Path(name).expanduser())
        except ContextError as error:
            variable = f" Nor is there a variable {name!r}." if name.isidentifier() else ""
            raise UsageError(f"{error}{variable}{_elsewhere()}") from None


def _about(value: Any) -> str:
    kind = cut(type(value).__name__)
    try:
        return f"a {kind} of length {len(value):,}"
    except Exception:  # noqa: BLE001 - there is no length, or the value's own method raises
        return f"a {kind}"


def _elsewhere() -> str:
    """Say why a file that the user sees may not be there."""
    where = os.environ.get(ENVIRONMENT, "local")
    if where == "local":
        return ""
    return (
        f" This kernel runs in a sandbox ({where}), which sees none of your machine's files: give "
        "it a folder by `volumes` in the kernelspec's environment_kwargs, or load the text into a "
        "variable and use %rlm_context NAME."
    )
