"""Runs told by hand: a builder of event sequences for tests of readers."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rlm.events import (
    CallUsage,
    CellFinished,
    CellOutput,
    CellStarted,
    Event,
    ModelReply,
    Note,
    RunFinished,
    RunStarted,
    SubCallFinished,
    SubCallStarted,
    TurnFinished,
    TurnStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG: dict[str, Any] = {
    "backend": "openai",
    "backend_kwargs": {"model_name": "gpt-5-mini", "api_key": "sk-" + "a" * 40, "timeout": 30},
    "environment_type": "local",
    "environment_kwargs": {"memory_limit": "4g"},
    "other_backends": None,
    "max_depth": 2,
    "max_iterations": 30,
    "limits": {"max_budget": 1.0, "max_timeout": 60, "max_tokens": 100_000},
}
TEN_MB = {
    "type": "str",
    "length": 10_485_760,
    "description": "a str of 10,485,760 characters",
    "preview": "Call me Ishmael.",
}


class Story:
    """Tells a run; what happens inside a `with` hangs on what it opened."""

    def __init__(self, name: str = "r", start: float = 1_700_000_000.0) -> None:
        self.events: list[Event] = []
        self._name = name
        self._numbers = itertools.count(1)
        self._time = start
        self._above: list[tuple[str, str]] = []

    @contextmanager
    def run(
        self,
        *,
        question: str | None = "Who is the narrator?",
        answer: str | None = "Ishmael",
        status: str = "answered",
        error: dict[str, str] | None = None,
        model: str = "gpt-5-mini",
        config: dict[str, Any] = CONFIG,
    ) -> Iterator[str]:
        node, parent = self._new(), self._parent
        depth = sum(1 for _, kind in self._above if kind == "run")
        ids = {"id": node, "parent_id": parent, "run_id": node}
        self._tell(
            RunStarted,
            ids,
            depth=depth,
            model=model,
            config=config,
            root_prompt=question,
            context=TEN_MB,
        )
        with self._inside(node, "run"):
            yield node
        self._tell(
            RunFinished, ids, status=status, answer=answer, error=error, usage={}, duration=12.5
        )

    @contextmanager
    def turn(
        self,
        reply: str | None = "I look at it first.\n```repl\nprint(1)\n```",
        *,
        number: int = 1,
        kept: int = 0,
        messages: tuple[dict[str, Any], ...] = ({"role": "user", "content": "Turn 1/30:"},),
        final: str | None = None,
        usage: CallUsage | None = None,
    ) -> Iterator[str]:
        ids = self._ids()
        self._tell(TurnStarted, ids, number=number, of=30, kept=kept, messages=messages)
        if reply is not None:
            took = usage or CallUsage(input_tokens=1200, output_tokens=80, cost=0.001)
            self._tell(
                ModelReply,
                ids,
                model="gpt-5-mini",
                text=reply,
                usage=took,
                duration=1.2,
                finish_reason="stop",
            )
        with self._inside(ids["id"], "turn"):
            yield ids["id"]
        self._tell(TurnFinished, ids, number=number, final_answer=final, duration=2.5)

    @contextmanager
    def cell(
        self,
        code: str = "print(1)",
        *outputs: dict[str, Any],
        status: str = "ok",
        final: str | None = None,
        number: int = 1,
        variables: dict[str, dict[str, str]] | None = None,
    ) -> Iterator[str]:
        ids = self._ids()
        self._tell(CellStarted, ids, number=number, code=code)
        with self._inside(ids["id"], "cell"):
            yield ids["id"]
            for output in outputs:
                self._tell(CellOutput, self._ids(), output=output)
        self._tell(
            CellFinished,
            ids,
            status=status,
            execution_count=1,
            variables=variables or {},
            final_answer=final,
            duration=0.25,
            shown="1",
        )

    @contextmanager
    def call(
        self,
        prompt: Any = "Summarise this.",
        response: Any = "It is a book.",
        *,
        kind: str = "llm",
        model: str = "gpt-5-nano",
        error: str | None = None,
    ) -> Iterator[str]:
        ids = self._ids()
        self._tell(SubCallStarted, ids, kind=kind, model=model, prompt=prompt)
        with self._inside(ids["id"], "call"):
            yield ids["id"]
        usage = CallUsage()
        if kind == "llm" and error is None:
            usage = CallUsage(input_tokens=100, output_tokens=10, cost=0.0001)
        self._tell(
            SubCallFinished,
            ids,
            kind=kind,
            model=model,
            response=response,
            error=error,
            usage=usage,
            duration=0.4,
        )

    def calls_at_once(self, count: int, *, model: str = "gpt-5-nano") -> None:
        """Tell of plain calls of which each begins before the first of them is over."""
        calls = [self._ids() for _ in range(count)]
        for number, ids in enumerate(calls):
            self._tell(SubCallStarted, ids, kind="llm", model=model, prompt=f"Part {number}")
        for ids in calls:
            self._tell(
                SubCallFinished,
                ids,
                kind="llm",
                model=model,
                response="It is a book.",
                error=None,
                usage=CallUsage(input_tokens=100, output_tokens=10, cost=0.0001),
                duration=0.4,
            )

    def note(self, text: str, kind: str = "warning") -> None:
        self._tell(Note, self._ids(), kind=kind, text=text, data={"n": 1})

    @property
    def _parent(self) -> str | None:
        return self._above[-1][0] if self._above else None

    def _new(self) -> str:
        return f"{self._name}-{next(self._numbers)}"

    def _ids(self) -> dict[str, Any]:
        run = next(node for node, kind in reversed(self._above) if kind == "run")
        return {"id": self._new(), "parent_id": self._parent, "run_id": run}

    @contextmanager
    def _inside(self, node: str, kind: str) -> Iterator[None]:
        self._above.append((node, kind))
        yield
        self._above.pop()

    def _tell(self, cls: type[Event], ids: dict[str, Any], **values: Any) -> None:
        self._time += 0.125
        self.events.append(cls(**ids, time=self._time, **values))


def stdout(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def failure(name: str = "ValueError", value: str = "no") -> dict[str, Any]:
    lines = ["\x1b[31mTraceback (most recent call last)\x1b[39m", f"\x1b[1m{name}\x1b[0m: {value}"]
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": lines}


def a_whole_story(name: str = "r") -> Story:
    """Two turns, an error, sixteen plain calls with one failed, a tool, and a child."""
    story = Story(name)
    system = {"role": "system", "content": "You have a REPL."}
    with story.run():
        with (
            story.turn(messages=(system, {"role": "user", "content": "Turn 1/30:"})),
            story.cell("print(len(context))\n1/0", stdout("10485760\n"), failure()),
        ):
            pass
        with story.turn(
            "Now I ask **about** every part.\n```repl\n...\n```",
            number=2,
            kept=2,
            messages=(
                {"role": "assistant", "content": "I look at it first."},
                {"role": "user", "content": "Turn 2/30:"},
            ),
            final="Ishmael",
        ):
            parts = "parts = [context[i:i+1000] for i in range(0, len(context), 1000)]"
            variables = {
                "parts": {"type": "list", "preview": "['Call me Ishmael.', ...]"},
                "context_0": {"type": "str", "preview": "Call me Ishmael."},
            }
            with story.cell(
                f"{parts}\nsums = llm_query_batched(parts)\nanswer['ready'] = True",
                stdout("done\n"),
                final="Ishmael",
                variables=variables,
            ):
                for number in range(16):
                    error = "429 too many requests" if number == 3 else None
                    answer = f"Error: {error}" if error else "It is a book."
                    with story.call(f"Part {number}", answer, error=error):
                        pass
                with story.call(
                    {"args": ["whale"], "kwargs": {}}, [1, 2], kind="tool", model="find"
                ):
                    pass
                with (
                    story.call("Read chapter 1", "One.", kind="rlm", model="gpt-5-mini"),
                    story.run(question=None, answer="One."),
                    story.turn("The child looks.", final="One."),
                    story.cell("answer['ready'] = True", final="One."),
                    story.call("leaf", "yes"),
                ):
                    pass
            story.note("The kernel died and was restarted.", "restart")
    return story
