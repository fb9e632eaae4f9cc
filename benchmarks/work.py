"""The scripted work: what each peer is asked, what the stand-in model says, what must come out.

Every peer gets the same work. Two dialects of a reply differ only in the fence,
in how an answer is handed in and in what a child is called. Answers are computed
in the REPL from the context, so lost state, crosstalk or a cut context shows.

Standard library only: the workers of all peers import this module.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

BLOCK = 64
"""A context is made of lines of so many characters, line feed included."""

RLM_MODEL = "bench-rlm"
DSPY_MODEL = "bench-dspy"

_TASK = re.compile(r"BENCH:(\w+):(\d+)")
_DSPY_TURN = re.compile(r"\[\[ ## iteration ## \]\]\n(\d+)/")

# `dspy` has no rlm_query: its sub-agent is built in the sandbox, one attribute of a
# module each (its documented form), and called from threads, as its own
# instructions to the model recommend.
_DSPY_CHILDREN = """\
import dspy
from concurrent.futures import ThreadPoolExecutor
agents = dspy.Module()
def rlm_query_batched(prompts):
    names = [f"child_{k}" for k in range(len(prompts))]
    for name in names:
        setattr(agents, name, dspy.RLM("context -> answer"))
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda n, p: getattr(agents, n)(context=p).answer, names, prompts))
def rlm_query(prompt):
    return rlm_query_batched([prompt])[0]
"""

_CHILD = """\
kind, _, number = context.partition(":")
if kind == "leaf":
    result = f"leaf {int(number) * 7}"
elif int(number) > 1:
    result = f"{number}({rlm_query(f'nest:{int(number) - 1}')})"
else:
    result = "1()"
"""

_QUERIES = """\
import json, time
prompts = [f"ECHO {{k}}" for k in range({count})]
begun = time.perf_counter()
replies = {call}
seconds = time.perf_counter() - begun
good = sum(reply == f"echo {{k}}" for k, reply in enumerate(replies))
bad = next((r for k, r in enumerate(replies) if r != f"echo {{k}}"), None)
result = json.dumps({{"good": good, "seconds": seconds, "bad": str(bad)[:200]}})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A context that a worker can make for itself.

    Attributes:
        label: Up to eight characters that every line begins with.
        size: Characters (all ASCII, so bytes too); a multiple of 128.
    """

    label: str = "bench"
    size: int = 1024

    def text(self) -> str:
        """Return the context: one allocation, whatever its size."""
        line = f"{self.label:<8}".ljust(BLOCK - 1, ".") + "\n"
        return line * (self.size // BLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One completion's work.

    Attributes:
        kind: ``"one"`` (one turn that looks at both ends and the middle of the context),
            ``"turns"`` (turns that carry a sum), ``"row"`` and ``"batched"`` (plain sub-calls),
            ``"children"``, ``"nest"`` (children with a REPL, side by side or in each other).
        count: How many turns, sub-calls, children or levels.
    """

    kind: str
    count: int = 1

    @property
    def query(self) -> str:
        """The question by which the stand-in model knows its script."""
        return f"BENCH:{self.kind}:{self.count}"

    @property
    def max_depth(self) -> int:
        """The reference's `max_depth` that gives every child of this task a REPL."""
        return {"children": 2, "nest": 1 + self.count}.get(self.kind, 1)

    def fault(self, answer: object, context: Context) -> str | None:
        """Say what is wrong with an answer; None when it is right."""
        if self.kind in {"row", "batched", "children"}:
            found = parsed(answer)
            good = found.get("good", 0)
            if good == self.count:
                return None
            first = found.get("bad", str(answer)[:200])
            return f"{self.count - good} of {self.count} lost or wrong, such as {first!r}"
        nested = "".join(f"{n}(" for n in range(self.count, 0, -1)) + ")" * self.count
        turns = sum(context.size + n for n in range(1, self.count + 1))
        wanted = {
            "one": f"{context.size} {context.label} {context.label}",
            "turns": f"{context.label} {turns}",
            "nest": f"root({nested})",
        }[self.kind]
        return None if answer == wanted else f"answered {str(answer)[:80]!r} instead of {wanted!r}"


def parsed(answer: object) -> dict[str, Any]:
    """Return the JSON object that a task of many queries answers with; {} if it is none."""
    try:
        value = json.loads(str(answer))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def reply(messages: list[dict[str, Any]], model: str) -> str:
    """Return what the stand-in model says to a chat.

    Args:
        messages: The chat as the peer sent it; without a system prompt it is a plain sub-call.
        model: Tells the dialect.
    """
    texts = [str(message.get("content")) for message in messages]
    if messages[0].get("role") not in {"system", "developer"}:
        return texts[-1].replace("ECHO", "echo")
    task = next((found for text in texts if (found := _TASK.search(text))), None)
    dspy = model.endswith(DSPY_MODEL)
    turn = 1 + sum(message.get("role") == "assistant" for message in messages)
    if dspy:
        found = _DSPY_TURN.search(texts[-1])
        turn = int(found[1]) if found else 1
    # A child is told its prompt only as its context: no task in its chat.
    code, done = _code(task[1], int(task[2]), turn) if task else (_CHILD, True)
    if dspy:
        prelude = _DSPY_CHILDREN if "rlm_query" in code else ""
        end = "SUBMIT(result)\n" if done else ""
        return (
            f"[[ ## reasoning ## ]]\nTurn {turn}.\n\n[[ ## code ## ]]\n"
            f"```python\n{prelude}{code}{end}```\n\n[[ ## completed ## ]]"
        )
    end = 'answer["content"] = result\nanswer["ready"] = True\n' if done else ""
    return f"Turn {turn}.\n\n```repl\n{code}{end}```"


def _code(kind: str, count: int, turn: int) -> tuple[str, bool]:
    """Return a root turn's code and whether it is the last."""
    if kind == "turns":
        first = "total = 0\n" if turn == 1 else ""
        code = f'{first}total += len(context) + {turn}\nprint("turn", {turn}, "total", total)\n'
        last = 'result = f"{context[:8].strip()} {total}"\n' if turn == count else ""
        return code + last, turn == count
    if kind == "nest":
        return f'result = "root(" + rlm_query("nest:{count}") + ")"\n', True
    if kind == "children":
        return (
            "import json, time\n"
            f'prompts = [f"leaf:{{k}}" for k in range({count})]\n'
            "begun = time.perf_counter()\n"
            "replies = rlm_query_batched(prompts)\n"
            "seconds = time.perf_counter() - begun\n"
            'good = sum(reply == f"leaf {k * 7}" for k, reply in enumerate(replies))\n'
            'bad = next((r for k, r in enumerate(replies) if r != f"leaf {k * 7}"), None)\n'
            'result = json.dumps({"good": good, "seconds": seconds, "bad": str(bad)[:200]})\n'
        ), True
    if kind in {"row", "batched"}:
        call = "[llm_query(p) for p in prompts]" if kind == "row" else "llm_query_batched(prompts)"
        return _QUERIES.format(count=count, call=call), True
    return (
        "middle = len(context) // 2\n"
        'result = f"{len(context)} {context[:8].strip()} {context[middle:middle + 8].strip()}"\n'
    ), True
