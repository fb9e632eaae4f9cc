"""Restores a recorded run's REPL in a notebook's kernel: `Run All` needs no network or key.

The first cell of a run's notebook calls `restore`. It works in any IPython kernel that can import
this module: those of the kernelspecs `rlm`, `rlm-docker` and `rlm-modal`, and a plain one with this
package. Its argument is compressed JSON: data, of which nothing is executed or unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from base64 import b64decode
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.context.hash import hash_context
from rlm_kernel.context.load import loads
from rlm_kernel.context.read_path import form_of, readings
from rlm_kernel.context.value import context_value
from rlm_kernel.errors import ContextError, RLMError
from rlm_kernel.guest import cell_asyncio
from rlm_kernel.guest.query_functions import QueryFunctions, ToolError
from rlm_kernel.guest.reserved_names import ReservedNames
from rlm_kernel.recorded_calls import SCHEMA, RecordedCall, RecordedCalls, code_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_JSON = 2_000_000_000
"""Bytes that a payload may unpack to; a hostile notebook's may claim anything."""

_NOT_GIVEN: Any = object()


class RestoreError(RLMError):
    """The REPL of a recorded run cannot be restored; the message says what to do."""


class NotRecordedError(RLMError):
    """The log has no reply to a cell's call, and no model is configured in this kernel."""


def restore(
    payload: str = "", *, file: str = "", sha256: str = "", context: Any = _NOT_GIVEN
) -> None:
    """Restore `context`, `answer`, the query functions and tools in this kernel.

    Args:
        payload: The recorded replies: Base64 of compressed JSON.
        file: The file of the replies when they are too many for a cell, relative to the notebook.
        sha256: The hash of that file.
        context: The context, when the notebook does not hold it: a value, or a `pathlib.Path`.

    Raises:
        RestoreError: Something is missing, damaged, or not what was recorded.
    """
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if shell is None:
        raise RestoreError("restore() works in a notebook's kernel only.")
    data = _side_file(file, sha256) if file else _decoded(payload)
    recorded = _read(data)
    if _Current.repl is not None:
        _Current.repl.detach()
    _Current.repl = RestoredRepl(shell, recorded, _context(recorded["context"], context))


class _Current:
    """The REPL that is restored in this kernel; another `restore` replaces it."""

    repl: RestoredRepl | None = None


class RestoredRepl:
    """The reserved names of a recorded run, whose calls are answered from its log."""

    def __init__(self, shell: Any, recorded: dict[str, Any], context: Any) -> None:
        self._shell = shell
        self._model: str = recorded["model"]
        # In a fork: the models of the run that was forked. Earlier versions' notebooks have none.
        self._models_before: list[str] = recorded.get("models_before", [])
        self._child = "rlm" if recorded["recursion"] else "llm"
        used: set[int] = set()
        self._setup = RecordedCalls(_calls(recorded["setup"], "setup_code"), used)
        self._cells: dict[str, list[RecordedCalls]] = {}
        every = []
        for cell in recorded["cells"]:
            calls = list(_calls(cell["calls"], cell["place"]))
            self._cells.setdefault(cell["code"], []).append(RecordedCalls(calls, used))
            every += calls
        self._everywhere = RecordedCalls(every, used)
        self._here: RecordedCalls | None = self._setup
        self._recorded = False
        kernel = getattr(shell, "kernel", None)
        self._subcalls = getattr(kernel, "_subcalls", None)
        self._has_host = getattr(kernel, "has_host", lambda: False)
        self._next_count: int | None = int(recorded["count"])
        _behave_like_a_models_kernel(shell)
        functions = QueryFunctions(self, lambda: True)
        self._names = ReservedNames(shell.user_ns, functions.by_name(), permanent=True)
        self._names.keep("ToolError", ToolError)
        for name in recorded["tools"]:
            self._names.keep(name, functions.tool(name))
        self._names.keep("context_0", context)
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)

    def detach(self) -> None:
        """Stop putting the reserved names back."""
        self._shell.events.unregister("pre_run_cell", self._before_cell)
        self._shell.events.unregister("post_run_cell", self._after_cell)

    # The calls of `QueryFunctions` (see `SubCalls` there)

    def submit(self, bodies: Iterable[dict[str, Any]]) -> list[Future[Any]]:
        """Answer calls from the log: `(value, error)` each."""
        return [self._answer(body) for body in bodies]

    def abandon(self, futures: Sequence[Future[Any]]) -> None:
        """Cancel calls that went to the kernel's host; the log has answered the others."""
        if self._subcalls is not None:
            self._subcalls.abandon(futures)

    def _answer(self, body: dict[str, Any]) -> Future[Any]:
        kind = body["kind"]
        name = body["name"] if kind == "tool" else body.get("model") or self._model
        kind = self._child if kind == "rlm" else kind
        call = self._found(kind, name, body["prompt"])
        if call is None and kind != "tool" and self._subcalls is not None and self._has_host():
            future: Future[Any] = self._subcalls.submit([body])[0]
            return future
        future = Future()
        if call is None:
            why = (self._here or self._everywhere).why_not(kind, name, body["prompt"])
            shown = name if kind == "tool" else f"{body['kind']}_query"
            future.set_exception(
                NotRecordedError(
                    f"{shown} is not in the log of this run: {why}.\nIn a kernel of the kernelspec "
                    "`rlm` that has a model (RLM_MODEL), it would be asked."
                )
            )
        else:
            future.set_result(tuple(call.outcome))
        return future

    def _found(self, kind: str, name: str, prompt: Any) -> RecordedCall | None:
        unnamed = kind != "tool" and name == self._model
        names = [name, *self._models_before] if unnamed else [name]
        for calls in (self._here, self._everywhere):
            for model in names:
                call = None if calls is None else calls.take(kind, model, prompt)
                if call is not None:
                    return call
        return None

    # Around each cell

    def _before_cell(self, info: Any) -> None:
        waiting = self._cells.get(code_digest(info.raw_cell))
        self._recorded = waiting is not None
        if self._recorded:
            self._names.put_back()
        # The last of several equal cells stays, because the user may run it again
        self._here = None if not waiting else waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def _after_cell(self, result: Any) -> None:
        del result
        if self._recorded:  # what the user binds in another cell stays
            self._names.put_back()
        if self._next_count is not None:
            # This is the restoring cell: the next one gets the number that it had in the run
            self._shell.history_manager.reset()
            self._shell.execution_count, self._next_count = self._next_count, None


def _behave_like_a_models_kernel(shell: Any) -> None:
    """Show errors and long values, and run `asyncio.run`, as in the recorded run."""
    from rlm_kernel.guest.kernel import print_long

    shell.colors = "nocolor"
    shell.InteractiveTB.set_mode(mode="Plain")
    for kind in (str, bytes):
        shell.display_formatter.formatters["text/plain"].for_type(kind, print_long)
    os.environ.update(PAGER="cat", GIT_PAGER="cat", TERM="dumb")
    cell_asyncio.install()


def _calls(entries: Any, place: str) -> Iterable[RecordedCall]:
    for kind, model, digest, masked, text, value, error in entries:
        yield RecordedCall(
            kind=kind,
            model=model,
            digest=digest,
            masked=masked or digest,
            text=text,
            place=place,
            outcome=(value if kind != "tool" else json.dumps(value), error),
        )


def _side_file(name: str, sha256: str) -> bytes:
    path = Path(name)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RestoreError(
            f"The file {name!r}, which holds the rest of this notebook, is not in {Path.cwd()} "
            f"({error.strerror}). Put it next to the notebook, and start the kernel in that "
            "folder, or os.chdir(...) to it before this cell."
        ) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise RestoreError(
            f"The file {name!r} is not the one that was saved with this notebook: its SHA-256 is "
            f"not {sha256}. Save the run again, or put the right file here."
        )
    return data


def _decoded(payload: str) -> bytes:
    try:
        return b64decode("".join(payload.split()), validate=True)
    except ValueError as error:
        raise RestoreError(f"The payload of this cell is damaged: {error}.") from None


def _read(data: bytes) -> dict[str, Any]:
    try:
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(data, MAX_JSON)
        # A text that is cut there is not JSON any more
        recorded = json.loads(text)
        schema = recorded["schema"]
    except (zlib.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RestoreError(f"The recorded replies are damaged: {error}.") from None
    if schema != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        raise RestoreError(
            f"The recorded replies have schema {schema!r:.40}; this version reads {SCHEMA} only. "
            + (
                "A newer version of rlm-kernel wrote them: upgrade."
                if newer
                else "An older version of rlm-kernel wrote them, or they were changed: load the "
                "notebook with that version."
            )
        )
    found: dict[str, Any] = recorded
    return found


def _context(about: dict[str, Any], given: Any) -> Any:
    """Return the run's context: the given one, the payload's, or the side file's."""
    if given is not _NOT_GIVEN:
        is_path = isinstance(given, Path)
        return _checked(about, readings(given, form_of(about)) if is_path else (given,))
    if "value" in about:
        value = about["value"]
        return b64decode(value) if about.get("form") == "bytes" else value
    if about.get("file"):
        return loads(_side_file(about["file"], about["sha256"]), about["form"])
    digest = f", SHA-256 {about['sha256']}" if about.get("sha256") else ""
    raise RestoreError(
        f"The notebook does not hold the run's context, {about.get('description')}{digest}. Give "
        'it in this cell: restore(..., context=pathlib.Path("FILE")), or a value.'
    )


def _checked(about: dict[str, Any], values: Iterable[Any]) -> Any:
    """Return the first of the given values that is the run's context."""
    kinds = []
    for value in values:
        if _is_recorded(about, value):
            return value
        kinds.append(type(value).__name__)
    digest = f", SHA-256 {about['sha256']}" if about.get("sha256") else ""
    raise RestoreError(
        f"The context given, a {kinds[0]}, is not the one that the run was about: "
        f"{about.get('description')}{digest}."
    )


def _is_recorded(about: dict[str, Any], value: Any) -> bool:
    """Return whether a context is the log's; for a pickled one its type decides."""
    expected, form = about.get("sha256"), about.get("form")
    if form == "pickle" or not expected:
        return bool(type(value).__name__ == str(about.get("type", "")).rpartition(".")[2])
    plain = str(value) if isinstance(value, str) else value  # A subclass of `str` is text, too.
    try:
        found = hash_context(context_value(list(plain) if isinstance(plain, tuple) else plain))
    except ContextError:
        return False
    return found.sha256 == expected and form in (None, "", found.form)
