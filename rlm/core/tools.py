"""The user's tools: described in the prompt, called from cells, run on threads of the host."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import keyword
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlm.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RESERVED_NAMES = (
    "llm_query",
    "llm_query_batched",
    "rlm_query",
    "rlm_query_batched",
    "SHOW_VARS",
    "answer",
    "context",
    "history",
)
"""Names that a tool cannot have: after every cell the REPL puts these back."""

_ALSO_TAKEN = re.compile(
    r"a(llm|rlm)_query(_batched)?|FINAL|FINAL_VAR|ToolError|(context|history)_\d+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One entry of `custom_tools`.

    Attributes:
        name: The tool's name in the REPL.
        value: A function that the host calls, or a value that becomes a variable.
        description: The line about it in the system prompt.
    """

    name: str
    value: Any
    description: str

    @property
    def is_callable(self) -> bool:
        """Whether it becomes a function."""
        return callable(self.value)


def parse_tools(tools: Mapping[str, Any], argument: str) -> tuple[Tool, ...]:
    """Read and check `custom_tools` or `custom_sub_tools`; `argument` is which of them.

    Raises:
        ConfigurationError: A name is reserved, or cannot be the name of a variable.
    """
    return tuple(_tool(name, entry, argument) for name, entry in tools.items())


def tools_section(tools: tuple[Tool, ...]) -> str:
    """Return the lines of the system prompt that describe the tools; empty without any."""
    if not tools:
        return ""
    lines = [f"- `{tool.name}`: {tool.description}" for tool in tools]
    return "\nFor this task the REPL also has:\n\n" + "\n".join(lines)


async def call_tool(tool: Tool | None, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Call a tool, sync or async, on a new thread, and return its value after checking it is JSON.

    Raises:
        ToolFailedError: The tool raised, or its value is not JSON; the message names the tool.
    """
    if tool is None:
        raise ToolFailedError(f"There is no tool {name!r}.")
    try:
        value = await on_host_thread(tool.value, *args, **kwargs)
    except Exception as error:
        text = str(error)
        raise ToolFailedError(
            f"{name}: {type(error).__name__}: {text}" if text else f"{name}: {type(error).__name__}"
        ) from error
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolFailedError(
            f"{name} returned a {type(value).__name__}, which is not JSON: {error}"
        ) from error
    return value


class ToolFailedError(Exception):
    """A tool failed; the cell gets the message as a `ToolError`."""


async def on_host_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a user's function, sync or async, on a new thread with the caller's context variables.

    No thread pool: the function may itself wait for a completion, and a pool of waiting threads is
    a deadlock. If the caller is cancelled, the thread goes on.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def finish(value: Any, error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(value)
        else:
            done.set_exception(error)

    def call() -> Any:
        value = function(*args, **kwargs)
        return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value

    def work() -> None:
        value: Any = None
        failure: Exception | None = None
        try:
            value = context.run(call)
        except StopIteration as error:  # A future refuses to hold one.
            failure = RuntimeError(f"StopIteration: {error}")
        except Exception as error:  # noqa: BLE001 - raised in the caller
            failure = error
        except BaseException as error:  # noqa: BLE001 - SystemExit must not end the engine's loop
            failure = RuntimeError(f"{type(error).__name__}: {error}")
        loop.call_soon_threadsafe(finish, value, failure)

    name = getattr(function, "__name__", type(function).__name__)
    threading.Thread(target=work, name=f"rlm-{name}", daemon=True).start()
    return await done


async def _awaited(value: Any) -> Any:
    return await value


def _tool(name: object, entry: Any, argument: str) -> Tool:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ConfigurationError(f"{argument}: {name!r} cannot be a variable's name in Python.")
    if name in RESERVED_NAMES or _ALSO_TAKEN.fullmatch(name):
        raise ConfigurationError(
            f"{argument}: {name!r} is a reserved name of the REPL. "
            f"Reserved are {', '.join(RESERVED_NAMES)}. Choose another."
        )
    value, description = entry, None
    if isinstance(entry, dict) and "tool" in entry:
        value, description = entry["tool"], entry.get("description")
    if not description:
        description = (
            f"a function{_signature(value)}" if callable(value) else f"a {type(value).__name__}"
        )
    return Tool(name=name, value=value, description=str(description))


def _signature(function: Callable[..., Any]) -> str:
    """Return a function's signature and the first line of its docstring."""
    try:
        signature = f" {getattr(function, '__name__', '')}{inspect.signature(function)}"
    except (TypeError, ValueError):
        signature = ""
    summary = (inspect.getdoc(function) or "").partition("\n")[0]
    return f"{signature}. {summary}" if summary else signature
