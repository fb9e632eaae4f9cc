"""Stands in for language models, so that these notebooks run without a key, a network or a cost.

It is no language model. A run's turns are a fixed script, one for each question of the notebooks
(below, in `SCRIPTS`); sub-calls are answered by looking for words in the text that they are sent
(`read`). Everything else is real: the runs, the kernels that execute the scripts' code, the
concurrent calls, the HTTP between them, and so every number that you see but the tokens' cost.
"""

from __future__ import annotations

import re
from typing import Any

from rlm.demo.server import LMRequest, StandInServer, script

_running: list[StandInServer] = []


def start() -> dict[str, Any]:
    """Start the stand-in; return the `backend_kwargs` that lead to it.

    The magics of this notebook's shell ask it as well.
    """
    server = StandInServer(script(turn, read)).start()
    _running.append(server)
    model = {"model_name": "stand-in", "base_url": server.base_url}
    from IPython import get_ipython

    shell: Any = get_ipython()
    if shell is not None:
        shell.config.RLMMagics.update(model="stand-in", base_url=server.base_url)
    return model


def turn(request: LMRequest) -> str:
    """Return a run's next turn: the script whose words are in its question."""
    said = "\n".join(str(m["content"]) for m in request.messages if m["role"] == "user")
    for words, turns in SCRIPTS.items():
        if words in said:
            return turns[min(request.turn, len(turns)) - 1]
    return CHILD[min(request.turn, len(CHILD)) - 1]  # a child's question is in its context


def read(prompt: str) -> str:
    """Answer a sub-call about the text that it holds."""
    task, _, text = prompt.partition("\n\n")
    if "charged wrongly" in task:
        wrong = re.compile(r"#(\d+) .*(?:charged|invoice|refund|paid|bill)")
        return "\n".join(wrong.findall(text)) or "none"
    if "how many of these days" in task:
        wet = re.compile(r"(?i)rain|drizzle|shower|downpour|umbrella")
        return str(sum(1 for line in text.splitlines() if wet.search(line)))
    if "one sentence" in task:
        return text.strip().splitlines()[0]
    return "I am a stand-in: I can only find words in a text that I am sent."


def code(said: str, block: str) -> str:
    """Return a turn as models write them: a sentence, and a block to run."""
    return f"{said}\n\n```repl\n{block.strip()}\n```\n"


LOOK = code(
    "I look at the context first.",
    """
print(type(context).__name__, len(context))
print(context[:300])
""",
)

CHILD = [
    code(
        "A diary. I have it read in pieces, all at once, and add up.",
        """
question, _, diary = context.partition("\\n\\n")
days = diary.splitlines()
pieces = ["\\n".join(days[start : start + 31]) for start in range(0, len(days), 31)]
task = "The lines are days of a diary: how many of these days were wet? Answer with a number.\\n\\n"
numbers = llm_query_batched([task + piece for piece in pieces])
answer["content"] = sum(int(number) for number in numbers)
answer["ready"] = True
""",
    )
]

SCRIPTS = {
    "Count only lines with": [
        LOOK,
        code(
            "Only those that say 'nested', then.",
            """
lines = [line for line in context.splitlines() if "better than" in line and "nested" in line]
answer["content"] = f"**{len(lines)} line** with 'nested' compares two things: *{lines[0]}*"
answer["ready"] = True
""",
        ),
    ],
    "compare two things": [
        LOOK,
        code(
            "One line each, and every comparison says 'better than': code can do this alone.",
            """
lines = [line for line in context.splitlines() if "better than" in line]
shortest = min(lines, key=len)
print(len(lines), "lines;", "the shortest:", shortest)
answer["content"] = f"**{len(lines)} lines** compare two things. The briefest: *{shortest}*"
answer["ready"] = True
""",
        ),
    ],
    "charged wrongly": [
        LOOK,
        code(
            "Tickets, in free text: no keyword finds 'charged wrongly'. Models shall read them, a "
            "hundred tickets at a time and all at once.",
            """
tickets = context.split("\\n")
pieces = ["\\n".join(tickets[start : start + 100]) for start in range(0, len(tickets), 100)]
task = "Which of these tickets complain about being charged wrongly? Their numbers, one a line.\\n\\n"
replies = llm_query_batched([task + piece for piece in pieces])
wrong = {int(n) for reply in replies for n in reply.split() if n.isdecimal()}
print(len(pieces), "pieces read,", len(wrong), "tickets found")
""",
        ),
        code(
            "Now I count them by product.",
            """
import re
from collections import Counter

product = {int(n): name for n, name in re.findall(r"^#(\\d+) \\([\\d-]+, ([^)]+)\\)", context, re.M)}
count = Counter(product[n] for n in wrong)
print(count.most_common())
(most, times), (second, fewer) = count.most_common(2)
answer["content"] = (
    f"**{most}**: {times} of {len(wrong)} complaints about wrong charges are about it; "
    f"next is {second} with {fewer}."
)
answer["ready"] = True
""",
        ),
    ],
    "sold less and less": [
        code(
            "A table. I look at its shape and at a few rows.",
            """
print(context.shape)
context.head(3)
""",
        ),
        code(
            "Sums by region and month show a trend best; I also draw it.",
            """
import matplotlib.pyplot as plt

table = context.pivot_table(index="month", columns="region", values="units", aggfunc="sum")
trend = table.iloc[6:].mean() / table.iloc[:6].mean() - 1
print(trend.round(2))
figure, axes = plt.subplots(figsize=(6, 3))
table.plot(ax=axes)
axes.set_ylabel("units")
display(figure)
plt.close(figure)
""",
        ),
        code(
            "The picture and the numbers agree.",
            """
region = trend.idxmin()
answer["content"] = (
    f"**{region}**: it sold {-trend[region]:.0%} less in the second half of the year than in the "
    f"first; its best month was {table[region].idxmax()}, its worst {table[region].idxmin()}."
)
answer["ready"] = True
""",
        ),
    ],
    "wet most often": [
        code(
            "One diary for each city. I look at what they have in common.",
            """
for city, diary in context.items():
    print(city, len(diary.splitlines()), "days;", diary.splitlines()[0])
""",
        ),
        code(
            "Each diary is work of its own: a child for each city, all at once.",
            """
task = "On how many days was it wet? Answer with the number alone.\\n\\n"
cities = list(context)
wet = dict(zip(cities, rlm_query_batched([task + context[city] for city in cities])))
print(wet)
""",
        ),
        code(
            "The children have answered.",
            """
city = max(wet, key=lambda name: int(wet[name]))
answer["content"] = f"**{city}**, on {wet[city]} of {len(context[city].splitlines())} days."
answer["ready"] = True
""",
        ),
    ],
    "can your code reach": [
        code(
            "I try it out.",
            """
import os, socket

def attempt(name, action):
    try:
        print(f"{name}: {action()}")
    except OSError as error:
        print(f"{name}: no ({error.strerror})")

attempt("user", os.getuid)
attempt("keys in the environment", lambda: [name for name in os.environ if "KEY" in name])
attempt("write to /usr", lambda: open("/usr/x", "w"))
attempt("write to the working folder", lambda: open("x", "w").write("yes"))
attempt("the network", lambda: socket.create_connection(("192.0.2.1", 80), timeout=3))
import pandas
print("pandas:", pandas.__name__)
""",
        ),
        code(
            "And a model can be asked from in here all the same.",
            """
said = llm_query("Say it in one sentence.\\n\\nCalls travel over the kernel's own channel.")
answer["content"] = f"My own folder and the packages that you asked for; nothing else. {said}"
answer["ready"] = True
""",
        ),
    ],
    "in euros": [
        code(
            "The amounts are in several currencies; there is a tool for the rates.",
            """
for line in context.splitlines():
    amount, currency = line.split()
    print(line, "->", round(float(amount) * rate(currency), 2))
""",
        ),
        code(
            "One currency has no rate: I leave it out, and say so.",
            """
total, unknown = 0.0, []
for line in context.splitlines():
    amount, currency = line.split()
    try:
        total += float(amount) * rate(currency)
    except ToolError as error:
        unknown.append(f"{currency} ({error})")
verdict = "within" if total <= BUDGET["limit"] else "over"
answer["content"] = (
    f"**{total:.2f} euros**, {verdict} the budget of {BUDGET['limit']}. "
    f"Left out: {', '.join(unknown)}."
)
answer["ready"] = True
""",
        ),
    ],
}
