"""The functions that a cell calls: `llm_query` and the other query functions, and the host's tools.

They work from any thread; those with an `a` in front are coroutine functions. A query function
never raises: an error is text that starts with ``Error: ``. Tools raise `ToolError`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rlm_kernel.guest.subcalls import CallInterruptedError
from rlm_kernel.protocol.subcalls import MAX_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future

NO_MODEL = (
    "Error: no model is configured; set RLM_MODEL (and RLM_BACKEND) before the kernel starts."
)

_T = TypeVar("_T")


class ToolError(Exception):
    """A tool that runs on the host failed; the message says why."""


class SubCalls(Protocol):
    """Answers calls: the host, or the log of a recorded run."""

    def submit(self, bodies: Iterable[dict[str, Any]]) -> list[Future[Any]]:
        """Send calls; return a future of `(value, error)` for each."""

    def abandon(self, futures: Sequence[Future[Any]]) -> None:
        """Cancel calls that nobody waits for any more."""


class QueryFunctions:
    """Makes the functions of one kernel."""

    def __init__(self, subcalls: SubCalls, connected: Callable[[], bool]) -> None:
        self._subcalls = subcalls
        self._connected = connected

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """Return the query functions by name."""
        found: dict[str, Callable[..., Any]] = {}
        for kind in ("llm", "rlm"):
            found[f"{kind}_query"] = self._one(kind)
            found[f"{kind}_query_batched"] = self._many(kind)
            found[f"a{kind}_query"] = self._one_async(kind)
            found[f"a{kind}_query_batched"] = self._many_async(kind)
        return found

    def tool(self, name: str) -> Callable[..., Any]:
        """Return the function that calls the host callable of this name."""

        def call(*args: Any, **kwargs: Any) -> Any:
            _require_json(name, args, kwargs)
            prompt = {"args": args, "kwargs": kwargs}
            body = {"kind": "tool", "name": name, "prompt": prompt}
            (future,) = self._subcalls.submit([body])
            try:
                value, error = future.result()
            except CallInterruptedError:
                raise ToolError(f"{name}: the cell was interrupted") from None
            except BaseException:
                self._subcalls.abandon([future])
                raise
            if error is not None:
                raise ToolError(error)
            return json.loads(value)

        call.__name__ = call.__qualname__ = name
        call.__doc__ = f"The tool `{name}`; it runs on the host."
        return call

    def _one(self, kind: str) -> Callable[..., str]:
        def query(prompt: Any, model: str | None = None) -> str:
            return self._ask(kind, [prompt], model)[0]

        return _named(query, f"{kind}_query", _SUMMARY[kind])

    def _many(self, kind: str) -> Callable[..., list[str]]:
        def query(prompts: Any, model: str | None = None) -> list[str]:
            return self._ask(kind, _prompts(prompts), model)

        return _named(query, f"{kind}_query_batched", f"{_SUMMARY[kind]} All at once, in order.")

    def _one_async(self, kind: str) -> Callable[..., Any]:
        async def query(prompt: Any, model: str | None = None) -> str:
            return (await self._ask_async(kind, [prompt], model))[0]

        return _named(query, f"a{kind}_query", f"{_SUMMARY[kind]} To be awaited.")

    def _many_async(self, kind: str) -> Callable[..., Any]:
        async def query(prompts: Any, model: str | None = None) -> list[str]:
            return await self._ask_async(kind, _prompts(prompts), model)

        return _named(query, f"a{kind}_query_batched", f"{_SUMMARY[kind]} To be awaited.")

    def _ask(self, kind: str, prompts: Sequence[Any], model: str | None) -> list[str]:
        results, futures = self._submit(kind, prompts, model)
        try:
            for index, future in futures.items():
                results[index] = _text(future.result())
        except CallInterruptedError:
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt from None
            return [text or "Error: the cell was interrupted" for text in results]
        except BaseException:
            self._subcalls.abandon(list(futures.values()))
            raise
        return results

    async def _ask_async(self, kind: str, prompts: Sequence[Any], model: str | None) -> list[str]:
        results, futures = self._submit(kind, prompts, model)
        waiting = {index: asyncio.wrap_future(future) for index, future in futures.items()}
        try:
            for index, future in waiting.items():
                results[index] = _text(await future)
        except CallInterruptedError:
            for future in waiting.values():
                if future.done():
                    future.exception()  # looked at, so that asyncio does not report it
            raise asyncio.CancelledError from None
        except BaseException:
            self._subcalls.abandon(list(futures.values()))
            raise
        return results

    def _submit(
        self, kind: str, prompts: Sequence[Any], model: Any
    ) -> tuple[list[str], dict[int, Future[Any]]]:
        """Send the valid prompts; the results hold the error texts of the others."""
        results = [""] * len(prompts)
        if not self._connected():
            return [NO_MODEL] * len(prompts), {}
        if model is not None and not isinstance(model, str):
            text = f"Error: model must be a name (str) or None, not {type(model).__name__}."
            return [text] * len(prompts), {}
        good = {}
        for index, prompt in enumerate(prompts):
            problem = _problem(prompt)
            if problem is None:
                good[index] = {"kind": kind, "model": model, "prompt": prompt}
            else:
                results[index] = problem
        futures = self._subcalls.submit(good.values())
        return results, dict(zip(good, futures, strict=True))


_SUMMARY = {
    "llm": "Ask a language model once; errors come back as text that starts with `Error: `.",
    "rlm": "Have a child RLM, with its own REPL, work on the prompt.",
}


def _named(function: Callable[..., _T], name: str, doc: str) -> Callable[..., _T]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


def _prompts(prompts: Any) -> list[Any]:
    """Return a batch as a list; a single string is a batch of one, not of its characters."""
    if isinstance(prompts, (str, dict)):
        return [prompts]
    try:
        return list(prompts)
    except TypeError:
        return [prompts]  # its result says what is wrong


def _problem(prompt: Any) -> str | None:
    """Return why this cannot be a prompt; None when it can."""
    if isinstance(prompt, str):
        return _too_long(len(prompt))
    if isinstance(prompt, list) and all(
        isinstance(message, dict) and "role" in message and "content" in message
        for message in prompt
    ):
        try:
            return _too_long(len(json.dumps(prompt)))
        except (TypeError, ValueError, RecursionError) as error:
            return f"Error: the prompt's messages are not JSON: {error}"
    return (
        "Error: a prompt must be a str or a list of messages "
        f'({{"role": ..., "content": ...}}), not {type(prompt).__name__}.'
    )


def _too_long(characters: int) -> str | None:
    if characters <= MAX_CHARACTERS:
        return None
    return (
        f"Error: the prompt has {characters:,} characters; at most {MAX_CHARACTERS:,} can "
        "be sent. Split it."
    )


def _text(outcome: tuple[Any, str | None]) -> str:
    value, error = outcome
    if error is not None:
        return f"Error: {error}"
    return value if isinstance(value, str) else json.dumps(value)


def _require_json(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise a `ToolError` that names a tool's argument that is not JSON."""
    places = {f"argument {number}": value for number, value in enumerate(args, 1)}
    places.update({f"argument {key!r}": value for key, value in kwargs.items()})
    for place, value in places.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ToolError(f"{name}: {place} is not JSON: {error}") from None
